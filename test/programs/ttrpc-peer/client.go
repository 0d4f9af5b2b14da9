package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const maxMessage = 4 << 20

type peer struct {
	client *ttrpc.Client
	path   string
}

func (p peer) call(ctx context.Context, method string, request *message) (*message, error) {
	answer := &message{}
	err := p.client.Call(ctx, service, method, request, answer)
	return answer, err
}

// ask expects a word for a word.
func (p peer) ask(ctx context.Context, method, request, want string) error {
	answer, err := p.call(ctx, method, word(request))
	if err != nil {
		return fmt.Errorf("%s(%s): %w", method, request, err)
	}
	if answer.TypeUrl != want {
		return fmt.Errorf("%s(%s): got %q, not %q", method, request, answer.TypeUrl, want)
	}
	return nil
}

func wantCode(err error, code codes.Code) error {
	if got := status.Code(err); got != code {
		return fmt.Errorf("got %v (%v), not %v", got, err, code)
	}
	return nil
}

var scenarios = map[string]func(context.Context, peer) error{
	"unary":             unaryCall,
	"empty":             empty,
	"unknown":           unknown,
	"errors":            failures,
	"deadline-told":     deadlineTold,
	"deadline-kept":     deadlineKept,
	"metadata":          sendMetadata,
	"big":               big,
	"too-big-answer":    tooBigAnswer,
	"too-big-request":   tooBigRequest,
	"too-big-frame":     tooBigFrame,
	"100-calls":         manyCalls,
	"100-big-calls":     manyBigCalls,
	"stream-client":     streamClient,
	"stream-server":     streamServer,
	"stream-both":       streamBoth,
	"stream-stop":       streamStop,
	"stream-fail":       streamFail,
	"stream-many":       streamMany,
	"stream-empty":      streamEmpty,
	"stream-big":        streamBig,
	"stream-after-fail": streamAfterFail,
}

func unaryCall(ctx context.Context, p peer) error {
	value := []byte{0, 1, 255}
	answer, err := p.call(ctx, "Echo", &message{TypeUrl: "ä", Value: value})
	if err == nil && (answer.TypeUrl != "ä" || !bytes.Equal(answer.Value, value)) {
		err = fmt.Errorf("got %v", answer)
	}
	return err
}

func empty(ctx context.Context, p peer) error { return p.ask(ctx, "Echo", "", "") }

func unknown(ctx context.Context, p peer) error {
	_, err := p.call(ctx, "Nothing", word(""))
	if err := wantCode(err, codes.Unimplemented); err != nil {
		return err
	}
	return wantCode(p.client.Call(ctx, "no.Service", "Echo", word(""), &message{}), codes.Unimplemented)
}

func failures(ctx context.Context, p peer) error {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		request := &message{TypeUrl: strconv.Itoa(int(code)), Value: []byte("detail")}
		_, err := p.call(ctx, "Fail", request)
		if err := wantCode(err, code); err != nil {
			return err
		}
		got := status.Convert(err)
		if got.Message() != "failed as asked" || len(got.Proto().Details) != 1 {
			return fmt.Errorf("got status %v", got.Proto())
		}
		detail := &message{}
		if err := got.Proto().Details[0].UnmarshalTo(detail); err != nil || !proto.Equal(detail, request) {
			return fmt.Errorf("got detail %v (%v)", detail, err)
		}
	}
	_, err := p.call(ctx, "Fail", word("plain"))
	if status.Convert(err).Message() != "plain words" {
		return fmt.Errorf("got %v", err)
	}
	return wantCode(err, codes.Unknown)
}

func deadlineTold(_ context.Context, p peer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
	defer cancel()
	if err := p.ask(ctx, "Deadline", "", "7"); err != nil {
		return err
	}
	return p.ask(context.Background(), "Deadline", "", "none")
}

func deadlineKept(ctx context.Context, p peer) error {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := p.call(short, "Sleep", word("60000"))
	if !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
		return fmt.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		return fmt.Errorf("took %v", took)
	}
	return p.ask(ctx, "Sleep", "1", "1")
}

func sendMetadata(ctx context.Context, p peer) error {
	sent := ttrpc.MD{}
	sent.Set("containerd-namespace-ttrpc", "k8s.io")
	sent.Set("Many", "1", "2", "ä")
	ctx = ttrpc.WithMetadata(ctx, sent)
	if err := p.ask(ctx, "Metadata", "containerd-namespace-ttrpc", "k8s.io"); err != nil {
		return err
	}
	if err := p.ask(ctx, "Metadata", "many", "1,2,ä"); err != nil {
		return err
	}
	return p.ask(ctx, "Metadata", "none", "")
}

func big(ctx context.Context, p peer) error {
	// What a frame holds beside the value: service, method, tags and lengths, the timeout.
	value := bytes.Repeat([]byte("0123456789abcdef"), (maxMessage-1024)/16)
	answer, err := p.call(ctx, "Echo", &message{Value: value})
	if err == nil && !bytes.Equal(answer.Value, value) {
		err = fmt.Errorf("got %d other bytes", len(answer.Value))
	}
	return err
}

func tooBigAnswer(ctx context.Context, p peer) error {
	_, err := p.call(ctx, "Blob", word(strconv.Itoa(maxMessage)))
	if err := wantCode(err, codes.ResourceExhausted); err != nil {
		return err
	}
	return p.ask(ctx, "Echo", "on", "on")
}

func tooBigRequest(ctx context.Context, p peer) error {
	_, err := p.call(ctx, "Echo", &message{Value: make([]byte, maxMessage)})
	var tooBig *ttrpc.OversizedMessageErr
	if !errors.As(err, &tooBig) {
		return fmt.Errorf("got %v", err)
	}
	return p.ask(ctx, "Echo", "on", "on")
}

// tooBigFrame sends what Go's client refuses to send.
func tooBigFrame(_ context.Context, p peer) error {
	conn, err := net.Dial("unix", p.path)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	header := func(length, stream uint32) []byte {
		bytes := make([]byte, 10)
		binary.BigEndian.PutUint32(bytes, length)
		binary.BigEndian.PutUint32(bytes[4:], stream)
		bytes[8] = 1
		return bytes
	}
	if _, err := conn.Write(append(header(maxMessage+1, 1), make([]byte, maxMessage+1)...)); err != nil {
		return err
	}
	request, err := proto.Marshal(&ttrpc.Request{Service: service, Method: "Echo"})
	if err != nil {
		return err
	}
	if _, err := conn.Write(append(header(uint32(len(request)), 3), request...)); err != nil {
		return err
	}
	for _, want := range []struct {
		stream uint32
		code   codes.Code
	}{{1, codes.ResourceExhausted}, {3, codes.OK}} {
		head := make([]byte, 10)
		if _, err := io.ReadFull(conn, head); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(head))
		if _, err := io.ReadFull(conn, body); err != nil {
			return err
		}
		response := &ttrpc.Response{}
		if err := proto.Unmarshal(body, response); err != nil {
			return err
		}
		stream, code := binary.BigEndian.Uint32(head[4:]), codes.Code(response.GetStatus().GetCode())
		if stream != want.stream || code != want.code || head[8] != 2 || head[9] != 0 {
			return fmt.Errorf("got stream %d, type %d, flags %d, %v", stream, head[8], head[9], response)
		}
	}
	return nil
}

func atOnce(count int, one func(int) error) error {
	results := make(chan error, count)
	for i := 0; i < count; i++ {
		go func() { results <- one(i) }()
	}
	var all []error
	for i := 0; i < count; i++ {
		all = append(all, <-results)
	}
	return errors.Join(all...)
}

func manyCalls(ctx context.Context, p peer) error {
	return atOnce(100, func(i int) error {
		ms := strconv.Itoa(100 + i)
		return p.ask(ctx, "Sleep", ms, ms)
	})
}

func manyBigCalls(ctx context.Context, p peer) error {
	const size = 1 << 20
	return atOnce(100, func(int) error {
		answer, err := p.call(ctx, "Blob", word(strconv.Itoa(size)))
		if err == nil && len(answer.Value) != size {
			err = fmt.Errorf("got %d bytes", len(answer.Value))
		}
		return err
	})
}
