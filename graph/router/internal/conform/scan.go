package conform

import "github.com/tradesage/tradesage/graph/router/internal/rawjson"

// scan reads the value that begins at i, and reports where it ends and whether it is
// plainly what it may be. It decodes nothing: what it is not sure of, such as a key
// with an escape, does not fit. Whether the text is JSON all through is not looked at.
func (s *Shape) scan(in []byte, i int) (end int, fits bool) {
	if i >= len(in) {
		return i, false
	}
	if in[i] == 'n' || s.kind == anything {
		end = rawjson.SkipValue(in, i)
		return end, end > i && (in[i] != 'n' || string(in[i:end]) == "null")
	}
	switch s.kind {
	case object:
		return s.scanObject(in, i)
	case list:
		return s.scanList(in, i)
	case text, identifier:
		return rawjson.SkipValue(in, i), in[i] == '"'
	}
	end = rawjson.SkipValue(in, i)
	value := in[i:end]
	switch s.kind {
	case boolean:
		return end, string(value) == "true" || string(value) == "false"
	case integer:
		return end, isShortInt(value) || isNumber(value) && isInt(string(value))
	default:
		return end, isNumber(value)
	}
}

func (s *Shape) scanObject(in []byte, i int) (end int, fits bool) {
	if in[i] != '{' {
		return i, false
	}
	i = rawjson.SkipSpace(in, i+1)
	for i < len(in) && in[i] == '"' {
		key, next := rawjson.PlainString(in, i)
		next = rawjson.SkipSpace(in, next)
		if key == nil || next >= len(in) || in[next] != ':' {
			return i, false
		}
		next = rawjson.SkipSpace(in, next+1)
		if shapes, known := s.fields[string(key)]; known {
			next, fits = scanAny(shapes, in, next)
			if !fits {
				return next, false
			}
		} else {
			next = rawjson.SkipValue(in, next)
		}
		if i = rawjson.SkipSpace(in, next); i < len(in) && in[i] == ',' {
			i = rawjson.SkipSpace(in, i+1)
		}
	}
	return i + 1, i < len(in) && in[i] == '}'
}

func (s *Shape) scanList(in []byte, i int) (end int, fits bool) {
	if in[i] != '[' {
		return i, false
	}
	i = rawjson.SkipSpace(in, i+1)
	for i < len(in) && in[i] != ']' {
		next, fits := s.item.scan(in, i)
		if !fits || next == i {
			return i, false
		}
		if i = rawjson.SkipSpace(in, next); i < len(in) && in[i] == ',' {
			i = rawjson.SkipSpace(in, i+1)
		}
	}
	return i + 1, i < len(in)
}

// scanAny reads a value that may look like any of some shapes.
func scanAny(shapes []*Shape, in []byte, i int) (end int, fits bool) {
	for _, s := range shapes {
		if end, fits = s.scan(in, i); fits {
			return end, true
		}
	}
	return end, false
}

// isShortInt is whether a number is an integer of nine digits at most.
func isShortInt(value []byte) bool {
	digits := value
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 9 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isNumber is whether a value is no string, object, list or literal.
func isNumber(value []byte) bool {
	return len(value) > 0 && (value[0] == '-' || value[0] >= '0' && value[0] <= '9')
}
