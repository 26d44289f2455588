package schema

// Days and milliseconds of the years 0001 to 9999, the only ones that Harvest, Avro's readers and databases agree on.
const (
	dayMillis = 24 * 60 * 60 * 1000
	minDay    = -719162 // 0001-01-01
	maxDay    = 2932896 // 9999-12-31
)

// parseDate reads 2006-01-02 as days since 1970-01-01.
func parseDate(s []byte) (day int32, ok bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	y, ok1 := number2(s[0:2])
	y2, ok2 := number2(s[2:4])
	m, ok3 := number2(s[5:7])
	d, ok4 := number2(s[8:10])
	y = y*100 + y2
	if !ok1 || !ok2 || !ok3 || !ok4 || y < 1 || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) {
		return 0, false
	}
	return civilDay(y, m, d), true
}

// ParseInstant reads an RFC 3339 instant, 2017-06-26T22:32:52Z, as milliseconds since 1970-01-01 UTC; finer fractions are cut.
func ParseInstant(s []byte) (millis int64, ok bool) {
	if len(s) < len("2017-06-26T22:32:52Z") || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	day, ok := parseDate(s[:10])
	h, ok1 := number2(s[11:13])
	m, ok2 := number2(s[14:16])
	sec, ok3 := number2(s[17:19])
	if !ok || !ok1 || !ok2 || !ok3 || h > 23 || m > 59 || sec > 59 {
		return 0, false
	}
	fraction, zone, ok := splitFraction(s[19:])
	if !ok {
		return 0, false
	}
	offset, ok := parseZone(zone)
	if !ok {
		return 0, false
	}
	millis = int64(day)*dayMillis + int64((h*60+m-offset)*60+sec)*1000 + int64(fraction)
	return millis, millis >= minDay*dayMillis && millis < (maxDay+1)*dayMillis
}

// splitFraction takes .123 off as milliseconds.
func splitFraction(s []byte) (millis int, rest []byte, ok bool) {
	if s[0] != '.' {
		return 0, s, true
	}
	end := digitsEnd(s, 1)
	for i, unit := 1, 100; i < end && unit > 0; i, unit = i+1, unit/10 {
		millis += int(s[i]-'0') * unit
	}
	return millis, s[end:], end > 1
}

// parseZone reads Z or +02:00 as minutes east of UTC.
func parseZone(s []byte) (minutes int, ok bool) {
	if len(s) == 1 && s[0] == 'Z' {
		return 0, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	h, ok1 := number2(s[1:3])
	m, ok2 := number2(s[4:6])
	if s[0] == '-' {
		return -(h*60 + m), ok1 && ok2 && h < 24 && m < 60
	}
	return h*60 + m, ok1 && ok2 && h < 24 && m < 60
}

// number2 reads two digits.
func number2(s []byte) (n int, ok bool) {
	a, b := s[0]-'0', s[1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// civilDay returns the days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March, so that the leap day is
// their last.
func civilDay(year, month, day int) int32 {
	if month <= 2 {
		year--
		month += 12
	}
	return int32(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468)
}
