package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// KeySchema is the schema of every topic's keys. For compaction a key is its bytes, so it never changes (design §4).
const KeySchema = `{"type":"record","name":"Key","namespace":"harvest.v2","fields":[{"name":"id","type":"long"},{"name":"account_id","type":"long"}]}`

// headerSize is the length of Confluent's header: a zero and the schema's id, big-endian.
const headerSize = 5

// AppendHeader appends the header of a value or key: Confluent's wire format.
func AppendHeader(dst []byte, schemaID int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(schemaID))
}

// SplitHeader takes the header off a value, which must not be a tombstone.
func SplitHeader(value []byte) (schemaID int, body []byte, err error) {
	if len(value) < headerSize {
		return 0, nil, fmt.Errorf("value of %d bytes has no schema id", len(value))
	}
	if value[0] != 0 {
		return 0, nil, fmt.Errorf("value begins with byte %#02x, not with a schema id", value[0])
	}
	id := binary.BigEndian.Uint32(value[1:headerSize])
	if id == 0 || id > math.MaxInt32 {
		return 0, nil, fmt.Errorf("schema id %d is out of range", int32(id))
	}
	return int(id), value[headerSize:], nil
}

// AppendKey appends the key of an object.
func AppendKey(dst []byte, schemaID int, id, account int64) []byte {
	dst = AppendHeader(dst, schemaID)
	dst = binary.AppendVarint(dst, id)
	return binary.AppendVarint(dst, account)
}

// ParseKey reads a key. One whose bytes AppendKey would not have written is refused: compaction would not see that it is the same.
func ParseKey(key []byte) (schemaID int, id, account int64, err error) {
	schemaID, body, err := SplitHeader(key)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("parsing key: %w", err)
	}
	c := NewCursor(body)
	if id, err = c.Long(); err == nil {
		if account, err = c.Long(); err == nil {
			err = c.Done()
		}
	}
	if err != nil {
		return 0, 0, 0, fmt.Errorf("parsing key: %w", err)
	}
	var short [2 * binary.MaxVarintLen64]byte
	if n := len(binary.AppendVarint(binary.AppendVarint(short[:0], id), account)); n != len(body) || id <= 0 || account <= 0 {
		return 0, 0, 0, errors.New("parsing key: ids are not positive or not in their shortest form")
	}
	return schemaID, id, account, nil
}

// AppendMeta appends the last two fields, _seq and _observed_at, to a Record's Body.
func AppendMeta(dst []byte, seq, observedMillis int64) []byte {
	dst = binary.AppendVarint(append(dst, branchValue), seq)
	return binary.AppendVarint(append(dst, branchValue), observedMillis)
}

// Our schemas' unions are null first.
const (
	branchNull  = 0
	branchValue = 1 << 1
)
