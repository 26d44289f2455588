package harvest_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/pkg/harvest"
)

// TestClock holds P4's bound: never later than the server's clock when it computed the answer, whatever Date says.
func TestClock(t *testing.T) {
	format := func(at time.Time) string { return at.UTC().Format(http.TimeFormat) }
	synctest.Test(t, func(t *testing.T) {
		c := harvest.NewClock(slogTo(t))
		began := time.Now()
		time.Sleep(3 * time.Second)
		floor, now := c.Read(format(time.Now().Add(-time.Hour)), began)
		if server := began.Add(-time.Hour); !now.Equal(server.Add(3*time.Second)) || !floor.Equal(server.Add(-time.Second)) {
			t.Errorf("an hour behind: floor %v, now %v", floor, now)
		}
		// Another machine behind the same name, five minutes ahead: the earlier clock bounds.
		if floor, now := c.Read(format(time.Now().Add(-55*time.Minute)), time.Now()); now.Sub(floor) != 5*time.Minute+time.Second {
			t.Errorf("ahead of the other: floor %v, now %v", floor, now)
		}
		// No Date, nonsense, the year 1970 or 2099: what is known stands in.
		for _, date := range []string{"", "yesterday", format(time.Unix(0, 0)), format(time.Now().AddDate(99, 0, 0))} {
			time.Sleep(10 * time.Minute)
			floor, now := c.Read(date, time.Now())
			if want := time.Now().Add(-time.Hour); !now.Equal(want) || !floor.Equal(want.Add(-time.Second)) {
				t.Errorf("%q: floor %v, now %v, want %v", date, floor, now, want)
			}
		}
		// Hours later the machine with the early clock is gone and forgotten.
		time.Sleep(3 * time.Hour)
		if floor, now := c.Read(format(time.Now()), time.Now()); now.Sub(floor) != time.Second {
			t.Errorf("still bounded: floor %v, now %v", floor, now)
		}
	})
}

// TestClockAhead: a Date ahead of the local clock bounds nothing, whether all of them are or some, at first or later.
func TestClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := harvest.NewClock(slogTo(t))
		for i := range 200 {
			time.Sleep(5 * time.Minute)
			ahead := []time.Duration{5 * time.Hour, 47 * time.Hour, 0, 80 * time.Hour}[(i/7)%4]
			floor, now := c.Read(time.Now().Add(ahead).UTC().Format(http.TimeFormat), time.Now())
			if floor.After(time.Now().Add(-time.Second)) {
				t.Errorf("Date is %v ahead: floor %v after the local clock", ahead, time.Until(floor))
			}
			if late := time.Until(now) - ahead; ahead < 48*time.Hour && late != 0 {
				t.Errorf("Date is %v ahead, now %v more", ahead, late)
			}
		}
	})
}

func TestClockBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := harvest.NewClock(slogTo(t))
		for date, want := range map[string]time.Duration{"": -time.Hour, "Thu, 01 Jan 2099 00:00:00 GMT": -time.Hour} {
			if _, now := c.Read(date, time.Now()); time.Until(now) != want {
				t.Errorf("%q: now is %v away", date, time.Until(now))
			}
		}
		if floor, _ := c.Read("Thu, 01 Jan 1970 00:00:00 GMT", time.Now()); floor.Year() > 1970 {
			t.Errorf("floor %v", floor)
		}
	})
}
