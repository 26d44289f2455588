package sinker_test

import (
	"fmt"
	"math/big"
	"time"

	"harveststream/pkg/schema"
)

// timeEntry is a time entry as Harvest has them: about forty of its fields are set.
func timeEntry(st *schema.Stream, id int64) row {
	r := row{"id": id, "account_id": int64(account), "_seq": id, "_observed_at": observed}
	n := 0
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		if f.Required || f.Name[0] == '_' || f.Name == "extra" {
			continue
		}
		if n++; n > 37 {
			break
		}
		switch f.Kind {
		case schema.Long:
			r[f.Name] = 1_000_000 + id%1000
		case schema.Bool:
			r[f.Name] = id%2 == 0
		case schema.String:
			r[f.Name] = fmt.Sprintf("Text %d", id%97)
		case schema.Decimal:
			r[f.Name] = big.NewRat(id%1000+25, 4)
		case schema.Date:
			r[f.Name] = time.Date(2026, 1, 1+int(id%300), 0, 0, 0, 0, time.UTC)
		case schema.Timestamp:
			r[f.Name] = time.Date(2026, 1, 1, 0, 0, int(id), 0, time.UTC)
		}
	}
	return r
}
