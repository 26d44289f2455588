package harvesttest

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// val is one JSON value in eight bytes: a tag in the top byte, the payload below it. Texts and arrays live in tables of
// the Sim and are interned, so that a million rows stay small and free of pointers.
type val uint64

const (
	tagMissing val = iota << 56 // the key is absent
	tagNull
	tagFalse
	tagTrue
	tagInt       // 56-bit integer
	tagDec       // decimal: 52-bit mantissa, 4-bit scale
	tagDate      // days since 1970-01-01
	tagClock     // minutes since midnight
	tagTime      // unix seconds
	tagText      // index of texts: JSON text, strings with their quotes
	tagArray     // index of arrays: scalars
	tagList      // index of lists: rows
	tagMask  val = 0xff << 56
)

func payload(tag val, n int64) val { return tag | val(n)&^tagMask }

func boolean(b bool) val {
	if b {
		return tagTrue
	}
	return tagFalse
}

func integer(n int64) val { return payload(tagInt, n) }
func instant(n int64) val { return payload(tagTime, n) }
func day(n int64) val     { return payload(tagDate, n) }

// decimal is mantissa / 10^scale.
func decimal(mantissa int64, scale int) val { return payload(tagDec, mantissa<<4|int64(scale)) }

// cents is an amount of money or a number of hours in hundredths.
func cents(n int64) val { return decimal(n, 2) }

func (x val) tag() val   { return x & tagMask }
func (x val) int() int64 { return int64(x<<8) >> 8 }
func (x val) set() bool  { return x.tag() > tagNull }

// hundredths is a decimal's value in hundredths, rounded towards zero; 0 for anything else.
func (x val) hundredths() int64 {
	if x.tag() == tagInt {
		return x.int() * 100
	}
	if x.tag() != tagDec {
		return 0
	}
	m, scale := x.int()>>4, int(x.int()&15)
	for ; scale < 2; scale++ {
		m *= 10
	}
	for ; scale > 2; scale-- {
		m /= 10
	}
	return m
}

// text interns a string.
func (s *Sim) text(str string) val { return s.raw(quote(str)) }

// raw interns JSON text.
func (s *Sim) raw(text string) val {
	i, ok := s.textIndex[text]
	if !ok {
		i = uint32(len(s.texts))
		text = strings.Clone(text)
		s.texts = append(s.texts, text)
		s.textIndex[text] = i
	}
	return payload(tagText, int64(i))
}

// str is the string of a text value, "" for anything else.
func (s *Sim) str(x val) string {
	if x.tag() != tagText {
		return ""
	}
	var str string
	if json.Unmarshal([]byte(s.texts[x.int()]), &str) != nil {
		return ""
	}
	return str
}

func (s *Sim) array(vals []val) val {
	s.arrays = append(s.arrays, vals)
	return payload(tagArray, int64(len(s.arrays)-1))
}

func (s *Sim) rowList(rows []*row) val {
	s.lists = append(s.lists, rows)
	return payload(tagList, int64(len(s.lists)-1))
}

func (s *Sim) rowsOf(x val) []*row {
	if x.tag() != tagList {
		return nil
	}
	return s.lists[x.int()]
}

func (s *Sim) ids(x val) []int64 {
	if x.tag() != tagArray {
		return nil
	}
	var ids []int64
	for _, v := range s.arrays[x.int()] {
		ids = append(ids, v.int())
	}
	return ids
}

// quote writes a JSON string; U+2028 and the like stay as they are, as in Harvest's answers.
func quote(str string) string {
	if !utf8.ValidString(str) {
		str = strings.ToValidUTF8(str, "\ufffd")
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(str); err != nil {
		panic("harvesttest: " + err.Error()) // a string can always be written
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// decimals are the fields that the API writes as decimals even when they are whole.
var decimals = set("hours budget hourly_rate default_hourly_rate cost_rate billable_rate fee cost_budget amount due_amount tax tax_amount tax2 " +
	"tax2_amount discount discount_amount quantity unit_price total_cost units over_budget_notification_percentage")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

func isDate(name string) bool {
	return strings.HasSuffix(name, "_date") || strings.HasSuffix(name, "s_on") || strings.HasSuffix(name, "_reminder_on") ||
		strings.HasPrefix(name, "period_")
}

// value makes a val of a Go value for the field of that name.
func (s *Sim) value(name string, x any) (val, error) {
	switch x := x.(type) {
	case nil:
		return tagNull, nil
	case val:
		return x, nil
	case bool:
		return boolean(x), nil
	case Raw:
		if x == "" {
			return tagMissing, nil
		}
		return s.raw(string(x)), nil
	case int:
		return s.number(name, strconv.Itoa(x)), nil
	case int64:
		return s.number(name, strconv.FormatInt(x, 10)), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return 0, fmt.Errorf("%s is not a number", name)
		}
		return s.number(name, strconv.FormatFloat(x, 'f', -1, 64)), nil
	case json.Number:
		return s.number(name, x.String()), nil
	case time.Time:
		if isDate(name) {
			return day(x.Unix() / 86400), nil
		}
		return instant(x.Unix()), nil
	case string:
		return s.stringValue(name, x), nil
	case []string:
		vals := make([]val, len(x))
		for i := range x {
			vals[i] = s.text(x[i])
		}
		return s.array(vals), nil
	case []int64:
		vals := make([]val, len(x))
		for i := range x {
			vals[i] = integer(x[i])
		}
		return s.array(vals), nil
	}
	return 0, fmt.Errorf("%s has a value of type %T", name, x)
}

// number keeps a number's own text: ints as ints, decimals with their scale; what does not fit stays JSON text.
func (s *Sim) number(name, text string) val {
	digits, frac, _ := strings.Cut(text, ".")
	if !decimals[name] && frac == "" {
		if n, err := strconv.ParseInt(digits, 10, 56); err == nil {
			return integer(n)
		}
	}
	if len(frac) <= 15 {
		if n, err := strconv.ParseInt(digits+frac, 10, 52); err == nil {
			return decimal(n, len(frac))
		}
	}
	return s.raw(text)
}

func (s *Sim) stringValue(name, x string) val {
	switch {
	case isDate(name):
		if t, err := time.Parse(time.DateOnly, x[:min(len(x), 10)]); err == nil {
			return day(t.Unix() / 86400)
		}
	case strings.HasSuffix(name, "_at"):
		if t, err := time.Parse(time.RFC3339, x); err == nil {
			return instant(t.Unix())
		}
	case name == "started_time" || name == "ended_time":
		for _, layout := range []string{"15:04", "3:04pm"} {
			if t, err := time.Parse(layout, x); err == nil {
				return payload(tagClock, int64(t.Hour()*60+t.Minute()))
			}
		}
	}
	return s.text(x)
}

// appendNumber writes mantissa/10^scale, with a point always (5.0) or only where it is needed (5).
func appendNumber(dst []byte, m int64, scale int, bare bool) []byte {
	if m < 0 {
		dst, m = append(dst, '-'), -m
	}
	for scale > 0 && m%10 == 0 {
		m, scale = m/10, scale-1
	}
	if scale == 0 {
		dst = strconv.AppendInt(dst, m, 10)
		if !bare {
			dst = append(dst, '.', '0')
		}
		return dst
	}
	pow := int64(1)
	for range scale {
		pow *= 10
	}
	dst = strconv.AppendInt(dst, m/pow, 10)
	dst = append(dst, '.')
	for frac := m % pow; pow > 1; {
		pow /= 10
		dst = append(dst, byte('0'+frac/pow))
		frac %= pow
	}
	return dst
}

func append2(dst []byte, n int) []byte { return append(dst, byte('0'+n/10%10), byte('0'+n%10)) }

// appendDate writes YYYY-MM-DD of days since 1970 (Hinnant's civil_from_days: time.Time would be several times slower).
func appendDate(dst []byte, days int64) []byte {
	z := days + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d, m, y := doy-(153*mp+2)/5+1, mp+3, yoe+era*400
	if m > 12 {
		m -= 12
	}
	if m <= 2 {
		y++
	}
	dst = append2(append2(dst, int(y/100)), int(y%100))
	dst = append2(append(dst, '-'), int(m))
	return append2(append(dst, '-'), int(d))
}

// appendInstant writes a quoted UTC instant of whole seconds.
func appendInstant(dst []byte, unix int64) []byte {
	days := unix / 86400
	if unix < 0 && unix%86400 != 0 {
		days--
	}
	sec := int(unix - days*86400)
	dst = append(appendDate(append(dst, '"'), days), 'T')
	dst = append(append2(dst, sec/3600), ':')
	dst = append(append2(dst, sec/60%60), ':')
	return append(append2(dst, sec%60), 'Z', '"')
}

// appendClock writes a quoted time of day as 14:59 or 2:59pm (harvest-api 4.8).
func appendClock(dst []byte, minutes int, twelve bool) []byte {
	dst = append(dst, '"')
	h, m := minutes/60%24, minutes%60
	if !twelve {
		return append(append2(append(append2(dst, h), ':'), m), '"')
	}
	dst = strconv.AppendInt(dst, int64((h+11)%12+1), 10)
	dst = append2(append(dst, ':'), m)
	if h < 12 {
		return append(dst, `am"`...)
	}
	return append(dst, `pm"`...)
}
