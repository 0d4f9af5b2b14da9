package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func (p peer) join(ctx context.Context) (ttrpc.ClientStream, error) {
	return p.client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true}, service, "Join", nil)
}

func (p peer) count(ctx context.Context, request *message) (ttrpc.ClientStream, error) {
	return p.client.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, service, "Count", request)
}

func (p peer) chat(ctx context.Context) (ttrpc.ClientStream, error) {
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	return p.client.NewStream(ctx, desc, service, "Chat", nil)
}

func wantWord(stream ttrpc.ClientStream, want string) error {
	answer := &message{}
	if err := stream.RecvMsg(answer); err != nil {
		return fmt.Errorf("instead of %q: %w", want, err)
	}
	if answer.TypeUrl != want {
		return fmt.Errorf("got %q, not %q", answer.TypeUrl, want)
	}
	return nil
}

func wantEnd(stream ttrpc.ClientStream) error {
	if err := stream.RecvMsg(&message{}); err != io.EOF {
		return fmt.Errorf("instead of the end: %v", err)
	}
	return nil
}

func streamClient(ctx context.Context, p peer) error {
	stream, err := p.join(ctx)
	if err != nil {
		return err
	}
	for _, text := range []string{"a", "", "c"} {
		if err := stream.SendMsg(word(text)); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return wantWord(stream, "a++c")
}

func streamServer(ctx context.Context, p peer) error {
	stream, err := p.count(ctx, word("3"))
	if err != nil {
		return err
	}
	for _, text := range []string{"1", "2", "3"} {
		if err := wantWord(stream, text); err != nil {
			return err
		}
	}
	return wantEnd(stream)
}

func streamBoth(ctx context.Context, p peer) error {
	stream, err := p.chat(ctx)
	if err != nil {
		return err
	}
	for i := 0; i < 50; i++ {
		if err := stream.SendMsg(word("x" + strconv.Itoa(i))); err != nil {
			return err
		}
		if err := wantWord(stream, "X"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return wantEnd(stream)
}

// streamStop is ended by the server while this side is open.
func streamStop(ctx context.Context, p peer) error {
	stream, err := p.chat(ctx)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(word("stop")); err != nil {
		return err
	}
	if err := wantEnd(stream); err != nil {
		return err
	}
	return p.ask(ctx, "Echo", "on", "on")
}

func streamFail(ctx context.Context, p peer) error {
	chat, err := p.chat(ctx)
	if err != nil {
		return err
	}
	if err := chat.SendMsg(word("fail")); err != nil {
		return err
	}
	err = chat.RecvMsg(&message{})
	if status.Convert(err).Message() != "chat failed as asked" {
		return fmt.Errorf("got %v", err)
	}
	count, err := p.count(ctx, &message{TypeUrl: "1", Value: []byte("half way")})
	if err != nil {
		return err
	}
	if err := wantWord(count, "1"); err != nil {
		return err
	}
	return wantCode(count.RecvMsg(&message{}), codes.Aborted)
}

func streamMany(ctx context.Context, p peer) error {
	return atOnce(100, func(i int) error {
		stream, err := p.count(ctx, word("20"))
		if err != nil {
			return err
		}
		for n := 1; n <= 20; n++ {
			if err := wantWord(stream, strconv.Itoa(n)); err != nil {
				return fmt.Errorf("stream %d: %w", i, err)
			}
		}
		return wantEnd(stream)
	})
}

// streamEmpty is a stream without messages, in either direction.
func streamEmpty(ctx context.Context, p peer) error {
	join, err := p.join(ctx)
	if err != nil {
		return err
	}
	if err := join.CloseSend(); err != nil {
		return err
	}
	if err := wantWord(join, ""); err != nil {
		return err
	}
	count, err := p.count(ctx, word("0"))
	if err != nil {
		return err
	}
	return wantEnd(count)
}

func streamBig(ctx context.Context, p peer) error {
	stream, err := p.chat(ctx)
	if err != nil {
		return err
	}
	value := bytes.Repeat([]byte("0123456789abcdef"), (maxMessage-64)/16)
	for i := 0; i < 5; i++ {
		if err := stream.SendMsg(&message{TypeUrl: "x", Value: value}); err != nil {
			return err
		}
		answer := &message{}
		if err := stream.RecvMsg(answer); err != nil {
			return err
		}
		if !bytes.Equal(answer.Value, value) {
			return fmt.Errorf("got %d other bytes", len(answer.Value))
		}
	}
	return stream.CloseSend()
}

// streamAfterFail goes on sending to a stream that has ended: nobody else may notice.
func streamAfterFail(ctx context.Context, p peer) error {
	stream, err := p.chat(ctx)
	if err != nil {
		return err
	}
	for _, text := range []string{"fail", "late", "later"} {
		if err := stream.SendMsg(word(text)); err != nil {
			return err
		}
	}
	if err := stream.RecvMsg(&message{}); err == nil {
		return fmt.Errorf("the stream did not fail")
	}
	return p.ask(ctx, "Echo", "on", "on")
}
