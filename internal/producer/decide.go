package producer

// observation is one object as one answer showed it, reduced to what P5 looks at.
type observation struct {
	stamp uint32 // Unix seconds, see stampOf
	req   uint32 // number of the request
	hash  uint64 // content hash
}

// verdict is what an observation means for the topic.
type verdict uint8

const (
	create verdict = iota // the key was never published
	update                // other content, and not older
	same                  // known content
	stale                 // older than what was published: a lagging replica, or a vendor's restore
	revive                // the key's last record is a tombstone: only a GET brings it back (P7)
)

// decide is P5 and the last sentence of P7: whether an observation is published, by the index alone. A lower stamp is never
// published, nor is an equal one from an earlier request; so the versions of a key never step back on its topic.
func decide(e *entry, o observation) verdict {
	switch {
	case e == nil:
		return create
	case e.gone():
		if o.req <= e.req {
			return stale // asked before the delete was confirmed
		}
		return revive
	case o.stamp < e.stamp:
		return stale
	case o.hash == e.hash:
		return same
	case o.stamp == e.stamp && o.req < e.req:
		return stale
	default:
		return update
	}
}

// stampOf is the order of an object's versions as Harvest dates them: updated_at in Unix seconds, never ahead of the server's
// clock, which stands in where there is none (design §2; reliability: a row dated 2999 must not hide its own correction).
func stampOf(updatedMillis, serverMillis int64) uint32 {
	ms := serverMillis
	if updatedMillis > 0 && updatedMillis < ms {
		ms = updatedMillis
	}
	return uint32(max(0, min(ms/1000, 1<<32-1)))
}
