package producer

import (
	"maps"
	"slices"

	"harveststream/pkg/harvest"
)

// bereft says whether children's parent is confirmed gone: they went along (P7), and what a list still says of them is of before.
func (s *stream) bereft(parent int64) bool {
	if s.parent == nil {
		return false
	}
	x := s.parent.index.get(parent)
	return x != nil && x.gone()
}

// orphans settles children without a parent. Where it is confirmed gone they go too: the stream was not selected when it went (P7). Where
// the index has never met it, the parents' topic was lost (P15), and the parent deleted before it was read again: no list shows it
// missing, so it is asked for by itself; shown, it is published; gone, its children go too.
func (e *engine) orphans(t *task, s *stream) error {
	var bereft []int64
	left := map[int64][]int64{} // children by parent
	s.index.all(func(x *entry) {
		switch {
		case x.gone():
		case s.bereft(x.owner):
			bereft = append(bereft, x.id)
		case s.parent.index.get(x.owner) == nil:
			left[x.owner] = append(left[x.owner], x.id)
		}
	})
	if len(bereft) > 0 && e.cfg.Deletes != deletesOff && !e.dryRun {
		if err := e.entomb(t, s, bereft, byParent, 0); err != nil {
			return err
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(left)) {
		a, err := t.get(call{req: s.parent.one(parent, 0), shape: object, stream: s.parent})
		switch {
		case isGone(err):
			err = e.buryOrphans(t, s, parent, left[parent])
		case harvest.IsForbidden(err): // hidden, not gone
			err = nil
		case err == nil:
			_, err = e.take(s.parent, a, sight{cause: bySweep, confirmed: true})
		}
		if err != nil {
			return err
		}
	}
	s.orphansDue = false
	return nil
}

// buryOrphans publishes the tombstones of the children of a parent that answered 404, where that means anything: for an administrator,
// beside another parent that is shown (P7).
func (e *engine) buryOrphans(t *task, s *stream, parent int64, ids []int64) error {
	if e.cfg.Deletes == deletesOff || e.dryRun {
		return nil
	}
	if err := e.readMe(t); err != nil || !e.mayTell(s, len(ids)) {
		return err
	}
	if ok, err := e.control(t, s.parent, nil, []int64{parent}); err != nil || !ok {
		return err
	}
	return e.entomb(t, s, ids, byParent, 0)
}
