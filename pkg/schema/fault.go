package schema

// Fault is something about answers that was counted and is shown: never a value.
type Fault struct {
	Field  string // where in Harvest's objects: client.id
	Reason string // one of the constants Fault…
	Count  int
}

// Reasons of faults. All but FaultUnknown, FaultRounded and FaultText are counted in Record.Bad.
const (
	FaultUnknown = "unknown member"
	FaultType    = "not of the field's type"
	FaultForm    = "not in the field's form"
	FaultRange   = "out of the field's range"
	FaultDigits  = "more than 38 digits"
	FaultRounded = "rounded to nine places"
	FaultText    = "text with U+0000 or invalid UTF-8"
)

// Bounds on what faults remember: the names come from outside.
const (
	maxFaults    = 100
	maxFaultName = 100
)

type fault struct {
	at     *node
	name   string
	reason string
	count  int
}

// fault counts one. Beyond maxFaults of different places they are counted together.
func (e *Encoder) fault(at *node, name []byte, reason string) {
	if e.faulty = true; e.quiet {
		return
	}
	name = name[:min(len(name), maxFaultName)]
	for i := range e.faults {
		f := &e.faults[i]
		if f.reason == reason && (f.at == at && f.name == string(name) || f.at == nil) {
			f.count++
			return
		}
	}
	if len(e.faults) >= maxFaults {
		at, name = nil, []byte("others")
	}
	e.faults = append(e.faults, fault{at, string(name), reason, 1})
}

// Faults returns what was wrong since Reset.
func (e *Encoder) Faults() []Fault {
	faults := make([]Fault, len(e.faults))
	for i, f := range e.faults {
		faults[i] = Fault{Field: f.at.path(f.name), Reason: f.reason, Count: f.count}
	}
	return faults
}
