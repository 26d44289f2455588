package schema

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

// In package schema: parseDecimal has states that no exported name shows apart.

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// modelDecimal is parseDecimal by math/big, for exponents that fit it.
func modelDecimal(text string) (*big.Int, parseState) {
	if !jsonNumber.MatchString(text) {
		return nil, noNumber
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, noNumber
	}
	r.Mul(r, new(big.Rat).SetInt64(billion))
	n, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int)) // towards zero
	state := exact
	if rest.Sign() != 0 {
		state = rounded
		twice := new(big.Int).Abs(rest)
		twice.Lsh(twice, 1)
		if c := twice.Cmp(r.Denom()); c > 0 || c == 0 && n.Bit(0) == 1 {
			n.Add(n, big.NewInt(int64(r.Sign())))
		}
	}
	if len(new(big.Int).Abs(n).String()) > decimalDigits {
		return nil, overlong
	}
	return n, state
}

func checkDecimal(t *testing.T, text string) {
	t.Helper()
	d, state := parseDecimal([]byte(text))
	want, wantState := modelDecimal(text)
	if state != wantState {
		t.Fatalf("%.100s: state %d, want %d", text, state, wantState)
	}
	if want == nil {
		return
	}
	b := d.signed().append(nil)
	if int(b[0]) != 2*(len(b)-1) || len(b) > 17 {
		t.Fatalf("%.100s: framed % x", text, b)
	}
	b = b[1:]
	got := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		got.Sub(got, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if got.Cmp(want) != 0 {
		t.Fatalf("%.100s: %s billionths, want %s", text, got, want)
	}
	if len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		t.Fatalf("%.100s: redundant sign byte % x", text, b)
	}
	back, ok := new(big.Rat).SetString(string(AppendDecimal(nil, b)))
	if !ok || back.Cmp(new(big.Rat).SetFrac(want, big.NewInt(billion))) != 0 {
		t.Fatalf("%.100s: shown as %s", text, AppendDecimal(nil, b))
	}
}

func TestDecimal(t *testing.T) {
	t.Parallel()
	nines := strings.Repeat("9", 29)
	for _, text := range []string{"0", "-0", "-0.0", "1", "-1", "0.1", "0.3", "127e-9", "128e-9", "-128e-9", "-129e-9", "255e-9", "256e-9", "32767e-9", "32768e-9",
		"9223372036854775807e-9", "9223372036854775808e-9", "-9223372036854775808e-9", "-9223372036854775809e-9", "18446744073709551615e-9", "18446744073709551616e-9",
		"1E5", "1e+5", "1e28", "1e29", "-1e29", "10e28", nines + ".999999999", nines + ".9999999994", nines + ".9999999995", "-" + nines + ".9999999995", nines + "9",
		"0.0000000005", "0.0000000015", "0.00000000050", "0.000000000500000001", "0.00000000049999", "0.00000000005", "0.0000000009", "5e-10", "15e-10", "51e-11", "5e-11", "9e-1000",
		"0e1000", "0.000e-1000", "100000000000000000000000000000e-10", "1.2345678912345", "", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e5", "0x10", "1_0", "NaN", "Infinity", " 1", "1 ", "1.2.3", "1e5.5", "--1", "1ee5",
		strings.Repeat("1", 5000), "0." + strings.Repeat("0", 5000) + "1", "0." + strings.Repeat("3", 5000)} {
		checkDecimal(t, text)
	}
	for _, text := range []string{"1e999999999999999999999", "-1.5e99999999999"} {
		if _, state := parseDecimal([]byte(text)); state != overlong {
			t.Errorf("%s: state %d", text, state)
		}
	}
	for text, want := range map[string]parseState{"1e-999999999999999999999": rounded, "0e999999999999999": exact, "0.0e-99999999999999": exact} {
		if d, state := parseDecimal([]byte(text)); state != want || d != (decimal{}) {
			t.Errorf("%s: state %d, %v", text, state, d)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	for _, text := range []string{"1.35", "-0", "1e28", "5e-10", "99999999999999999999999999999.9999999995", "1e-40", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if i := strings.IndexAny(text, "eE"); i >= 0 && len(text)-i > 5 {
			parseDecimal([]byte(text)) // the model would need the memory that parseDecimal must not
			return
		}
		checkDecimal(t, text)
	})
}

// TestCalendar holds civilDay and daysIn against the bounds and each other: every day of the years 0001 to 9999, once.
func TestCalendar(t *testing.T) {
	t.Parallel()
	next := int32(minDay)
	for y := 1; y <= 9999; y++ {
		for m := 1; m <= 12; m++ {
			for d := 1; d <= daysIn(y, m); d++ {
				if got, ok := parseDate(fmt.Appendf(nil, "%04d-%02d-%02d", y, m, d)); !ok || got != next {
					t.Fatalf("%04d-%02d-%02d is day %d, want %d", y, m, d, got, next)
				}
				next++
			}
		}
	}
	if next != maxDay+1 {
		t.Errorf("the last day is %d, want %d", next-1, maxDay)
	}
}
