package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// prepared is a read's statement on one connection.
type prepared struct {
	description *pgconn.StatementDescription
	// parameters is the description without columns.
	parameters *pgconn.StatementDescription
	// fields are the columns in the formats that they are asked for in.
	fields  []pgconn.FieldDescription
	formats []int16
}

type preparedKey struct {
	sql     *constant
	variant variant
}

var enterRead = constantOf(enterReadSQL)

// prepare returns the statement, which the connection keeps as long as it lives: the
// program's reads of one row are some tens, times the variants.
func (s *served) prepare(ctx context.Context, conn *pgx.Conn, sql *constant, v variant) (*prepared, error) {
	key := preparedKey{sql, v}
	if p, ok := s.prepared[key]; ok {
		return p, nil
	}
	s.names++ // a name is never used again: a failure may leave it taken
	description, err := conn.PgConn().Prepare(ctx, "read_"+strconv.Itoa(s.names), sql.texts[v], nil)
	if err != nil {
		return nil, err
	}
	p := &prepared{
		description: description,
		parameters:  &pgconn.StatementDescription{ParamOIDs: description.ParamOIDs},
		fields:      description.Fields,
	}
	for i := range p.fields {
		format := conn.TypeMap().FormatCodeForOID(p.fields[i].DataTypeOID)
		p.fields[i].Format = format
		p.formats = append(p.formats, format)
	}
	s.prepared[key] = p
	return p, nil
}

// servedBy is what keepServed gave a connection.
func servedBy(conn *pgx.Conn) *served { return conn.PgConn().CustomData()[servedKey].(*served) }

// forget lets a read's statement be prepared anew.
func (s *served) forget(ctx context.Context, conn *pgx.Conn, r *read) error {
	key := preparedKey{r.sql, s.variant(r.role)}
	p, ok := s.prepared[key]
	if !ok {
		return nil // another read of it was here
	}
	delete(s.prepared, key)
	return conn.PgConn().Deallocate(ctx, p.description.Name)
}

// exchange sends the reads in one pipeline and ends them. It returns those that are to go
// over another connection, and whether this one may be used again.
//
// One whose connection fails is sent once more: the connection may have been dead for
// long. So is one whose role the connection may not take (see scope.switching). One
// whose statement was prepared for another schema than it has now is sent again on the
// same connection, since each has its own. No read is answered before its own Sync is.
func exchange(ctx context.Context, conn *pgx.Conn, reads []*read) (unread []*read, sound bool) {
	sent, pipeline, err := queue(ctx, conn, reads)
	if err == nil {
		err = pipeline.Flush()
	}
	if err != nil {
		return retry(sent, err), false
	}
	var renewed []*read
	for i, r := range sent {
		if r.journey.awaited.Load() == 0 { // the callers of these have left, those of the others have their answers
			r.journey.cancel()
		}
		synced, err := r.receive(pipeline)
		switch {
		case !synced:
			return append(renewed, retry(sent[i:], err)...), false
		case stale(err) && !r.renewed:
			r.renewed = true
			renewed = append(renewed, r)
		default:
			r.end(err)
		}
	}
	if err := pipeline.Close(); err != nil || len(renewed) == 0 {
		return renewed, err == nil
	}
	for _, r := range renewed {
		if err := servedBy(conn).forget(ctx, conn, r); err != nil {
			return renewed, false
		}
	}
	return exchange(ctx, conn, renewed)
}

// queue puts reads into a new pipeline of the connection. It ends those that cannot be
// sent for what they are, and returns the others.
func queue(ctx context.Context, conn *pgx.Conn, reads []*read) ([]*read, *pgconn.Pipeline, error) {
	served := servedBy(conn)
	enter, err := served.prepare(ctx, conn, enterRead, 0)
	if err != nil {
		return reads, nil, err
	}
	sent := make([]*read, 0, len(reads))
	statements := make([]*prepared, 0, len(reads))
	for i, r := range reads {
		statement, err := served.prepare(ctx, conn, r.sql, served.variant(r.role))
		if isRefusal(err) {
			r.end(err)
			continue
		}
		if err != nil {
			return append(sent, reads[i:]...), nil, err
		}
		sent, statements = append(sent, r), append(statements, statement)
	}
	pipeline := conn.PgConn().StartPipeline(ctx)
	var parameters pgx.ExtendedQueryBuilder
	queued := sent[:0]
	for i, r := range sent {
		if err := encode(&parameters, conn, statements[i], r.args); err != nil {
			r.end(err)
			continue
		}
		pipeline.SendQueryStatement(enter.description, [][]byte{[]byte(r.role), []byte(r.tenant)}, nil, enter.formats)
		pipeline.SendQueryStatement(statements[i].description, parameters.ParamValues, parameters.ParamFormats, statements[i].formats)
		pipeline.SendPipelineSync()
		r.fields = statements[i].fields
		queued = append(queued, r)
	}
	return queued, pipeline, nil
}

// encode fails where an argument panics: others' reads are on the same journey.
func encode(into *pgx.ExtendedQueryBuilder, conn *pgx.Conn, statement *prepared, args []any) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic in an argument: %v", cause)
		}
	}()
	return into.Build(conn.TypeMap(), statement.parameters, args)
}

// receive reads the answers of the switch, the statement and the Sync. Unless all of
// them came, even if as the statement's refusal, the connection is of no more use: a
// switch that fails would do so for whoever comes next.
func (r *read) receive(pipeline *pgconn.Pipeline) (synced bool, err error) {
	if _, err := answer(pipeline); err != nil {
		return false, err
	}
	r.row, err = answer(pipeline)
	if err != nil && !isRefusal(err) {
		return false, err
	}
	end, syncErr := pipeline.GetResults()
	if _, ok := end.(*pgconn.PipelineSync); !ok {
		return false, errors.Join(err, syncErr, errors.New("no end of a read's transaction"))
	}
	return true, err
}

// answer reads what a statement answers: its first row, or nil.
func answer(pipeline *pgconn.Pipeline) (row [][]byte, err error) {
	results, err := pipeline.GetResults()
	if err != nil {
		return nil, err
	}
	reader, ok := results.(*pgconn.ResultReader)
	if !ok {
		return nil, fmt.Errorf("%T where a statement's answer is due", results)
	}
	if reader.NextRow() {
		row = keep(reader.Values())
	}
	_, err = reader.Close()
	return row, err
}

// keep copies a row out of the connection's buffer.
func keep(values [][]byte) [][]byte {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	kept, text := make([][]byte, len(values)), make([]byte, 0, size)
	for i, v := range values {
		if v != nil { // nil is NULL
			start := len(text)
			text = append(text, v...)
			kept[i] = text[start:len(text):len(text)]
		}
	}
	return kept
}

// retry returns the reads that are to be sent again after the first one's failure,
// and ends that one if it has had its second try, or can be helped by none.
func retry(reads []*read, err error) []*read {
	if len(reads) == 0 {
		return nil
	}
	first := reads[0]
	if first.again || isRefusal(err) && !refusesRole(err) && !stale(err) {
		first.end(err)
		return reads[1:]
	}
	first.again, first.row = true, nil
	return reads
}

// isRefusal is whether PostgreSQL itself answered with err, and the connection lives.
func isRefusal(err error) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && refusal.SeverityUnlocalized == "ERROR"
}

// stale is whether a prepared statement is no longer of use: its columns have
// changed, or it is gone.
func stale(err error) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && (refusal.Code == "0A000" && refusal.Routine == "RevalidateCachedQuery" || refusal.Code == "26000")
}
