package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cost is what one kind of request takes of the budget.
type cost struct {
	what string
	per  float64 // requests per 15 s
}

// plan says what the configuration costs for this account, by asking for the totals of its lists (design §7).
func (c *commands) plan(cmd *cobra.Command, _ []string) error {
	p, err := c.load()
	if err != nil {
		return err
	}
	return p.plan(cmd.Context(), c.env.Stdout)
}

func (p *Producer) plan(ctx context.Context, out io.Writer) error {
	if _, err := readAccount(ctx, p.client, p.cfg.AccountID); err != nil {
		return unread(err) // every list of an account out of reach answers 404
	}
	totals, err := p.totals(ctx)
	if err != nil {
		return unread(err)
	}
	costs := p.costs(totals)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	sum := 0.0
	fmt.Fprintln(w, "REQUESTS\tPER 15 s")
	for _, c := range costs {
		fmt.Fprintf(w, "%s\t%.2f\n", c.what, c.per)
		sum += c.per
	}
	fmt.Fprintf(w, "together\t%.2f of %d\n\n", sum, p.cfg.RateLimit)
	fmt.Fprintln(w, "STREAM\tROWS\tFRESH WITHIN\tFIRST READ\tSWEEP")
	for _, s := range p.cfg.selected {
		n, known := totals[s.Name]
		if !known {
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", s.Name, n, p.cfg.PollInterval.For(s.Name), p.duration(pages(n)), p.duration(pages(n)*10))
	}
	lists := p.childLists(totals)
	fmt.Fprintf(w, "\nchildren\t%d lists\tfirst read\t%s\trotating pass\t%s at a tenth of the budget\n", lists, p.duration(lists), p.duration(lists*10))
	if err := w.Flush(); err != nil {
		return err
	}
	for _, advice := range p.advice(sum, lists) {
		fmt.Fprintln(out, advice)
	}
	return nil
}

func pages(rows int) int { return max(1, (rows+fullPage-1)/fullPage) }

// duration is how long so many requests take with the whole budget.
func (p *Producer) duration(requests int) time.Duration {
	return (time.Duration(requests) * 15 * time.Second / time.Duration(p.cfg.RateLimit)).Round(100 * time.Millisecond)
}

// totals asks each list for its number of rows.
func (p *Producer) totals(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	for _, s := range p.cfg.selected {
		if s.Read == schema.Children || s.Read == schema.Single {
			continue
		}
		q := url.Values{"per_page": {"1"}}
		if a := p.anchor(); s.Dates != "" && !a.IsZero() {
			q.Set("updated_since", instant(a))
		}
		err := p.client.Do(ctx, harvest.Request{Path: s.Path, Query: q}, func(r *harvest.Response) error {
			page, err := harvest.ReadPage(r.Body, s.List, harvest.Skip)
			out[s.Name] = page.TotalEntries
			return err
		})
		if err != nil && !harvest.IsForbidden(err) && !harvest.IsNotFound(err) {
			return nil, err
		}
	}
	return out, nil
}

// childLists is how many lists one rotating pass reads.
func (p *Producer) childLists(totals map[string]int) int {
	n := 0
	for _, s := range p.cfg.selected {
		if s.Read == schema.Children {
			n += totals[s.Parent]
		}
	}
	return n
}

// costs adds up a quiet account's requests by kind: every poll is one page.
func (p *Producer) costs(totals map[string]int) []cost {
	window := 15 * time.Second
	rate := func(every time.Duration, requests int) float64 {
		return float64(requests) * float64(window) / float64(every)
	}
	polls, probes, timers, recent, sweeps := 0.0, 0.0, 0.0, 0.0, 0.0
	for _, s := range p.cfg.selected {
		if s.Read == schema.Children {
			continue
		}
		polls += rate(p.cfg.PollInterval.For(s.Name), 1)
		if s.Read == schema.Changes {
			probes += rate(p.cfg.ProbeInterval, 1)
			sweeps += rate(p.cfg.SweepInterval, pages(totals[s.Name]))
		}
		if s.Dates != "" {
			recent += rate(p.cfg.RecentSweepInterval, 1)
		}
		if s.Name == "time_entries" {
			timers += rate(fullEvery, 1)
		}
	}
	return []cost{{"polls", polls}, {"timers", timers}, {"probes", probes}, {"account", rate(companyEvery, 1)},
		{"sweeps of the last 14 days", recent}, {"sweeps of everything", sweeps}, {"rotating pass", rate(p.cfg.ChildrenInterval, p.childLists(totals))}}
}

// advice says what to change when the budget does not suffice.
func (p *Producer) advice(sum float64, lists int) []string {
	var out []string
	if limit := float64(p.cfg.RateLimit); sum > limit*0.9 {
		out = append(out, fmt.Sprintf("This is more than nine tenths of the budget: lengthen HARVEST_POLL_INTERVAL (now %s), or HARVEST_CHILDREN_INTERVAL (now %s).",
			p.cfg.PollInterval.Default, p.cfg.ChildrenInterval))
	}
	if pass := p.duration(lists * 10); pass > p.cfg.ChildrenInterval {
		out = append(out, fmt.Sprintf("A rotating pass takes up to %s of a tenth of the budget: HARVEST_CHILDREN_INTERVAL should be longer than that.", pass))
	}
	if len(out) == 0 {
		out = append(out, "The budget suffices.")
	}
	return out
}

// status reads what the checkpoint topic tells of the account, without a writer's rights.
func (c *commands) status(cmd *cobra.Command, _ []string) error {
	p, err := c.load()
	if err != nil {
		return err
	}
	return p.status(cmd.Context(), c.env.Stdout)
}

func (p *Producer) status(ctx context.Context, out io.Writer) error {
	opts, err := p.cfg.Kafka.Options()
	if err != nil {
		return ops.Fail(ops.ExitConfig, err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return ops.Fail(ops.ExitConfig, err)
	}
	defer cl.Close()
	seen, beat, _, err := p.committed(ctx, cl, opts)
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) { // nothing was ever begun
		return unread(err)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if beat == nil {
		fmt.Fprintf(w, "No producer ever wrote for account %d.\n", p.cfg.AccountID)
	} else {
		state := "last sign of life"
		if beat.SignedOff {
			state = "signed off"
		}
		fmt.Fprintf(w, "writer\t`producer %s` on %s, process %d, %s %s\n\n", beat.Command, beat.Host, beat.PID, state, beat.At.Format(time.RFC3339))
	}
	fmt.Fprintln(w, "STREAM\tRECORDS\tCOMPLETE TO\tLAG\tSTATE")
	for _, s := range p.cfg.selected {
		ck := seen[s.Name]
		if ck == nil {
			fmt.Fprintf(w, "%s\t\t\t\tnot read yet\n", s.Name)
			continue
		}
		var seq int64
		for _, part := range ck.Partitions {
			seq += part.Seq
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", s.Name, seq, lag(ck), strings.Join(stateWords(ck), ", "))
	}
	return w.Flush()
}

func lag(ck *kafka.Checkpoint) string {
	if ck.Cursor.IsZero() || ck.Backfill != nil {
		return "-\t-"
	}
	return ck.Cursor.Format(time.RFC3339) + "\t" + time.Since(ck.Cursor).Round(time.Second).String()
}

func stateWords(ck *kafka.Checkpoint) []string {
	var words []string
	switch {
	case ck.Backfill != nil:
		words = append(words, fmt.Sprintf("first read, %d pages done", ck.Backfill.Page))
	case ck.Cursor.IsZero():
		words = append(words, "first read")
	}
	if !ck.Round.Began.IsZero() && !ck.Round.Done {
		words = append(words, fmt.Sprintf("rotating pass at parent %d", ck.Round.Last))
	}
	if ck.Blocked != "" {
		words = append(words, "blocked: "+ck.Blocked)
	}
	if ck.Stopped > 0 {
		words = append(words, fmt.Sprintf("sweep stopped: %d rows missing", ck.Stopped))
	}
	if len(words) == 0 {
		words = append(words, "up to date")
	}
	return words
}
