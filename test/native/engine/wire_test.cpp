// SPDX-License-Identifier: Apache-2.0
// The wire: checksums, who may connect, what a frame must look like, what happens when a peer dies or does
// not read.
#include "testing.hpp"
#include "wire/crc32c.hpp"
#include "wire/listener.hpp"
#include "wire/send.hpp"
#include "wire/socket.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <future>
#include <random>
#include <thread>

using namespace pclive;
using namespace pclive::wire;
using namespace pclive::testing;
using namespace std::chrono_literals;

namespace {

struct Pair {
    std::unique_ptr<Channel> source, destination;
};

Pair connectPair() {
    Listener listener("127.0.0.1", 0, certificates().identity("b", "a"));
    auto accepted = std::async(std::launch::async, [&] { return listener.accept(after(10s)); });
    Pair pair;
    pair.source =
        Channel::connect("127.0.0.1", listener.port(), certificates().identity("a", "b"), after(10s));
    pair.destination = std::move(accepted.get().main);
    return pair;
}

/// A peer that gets through the greeting and then writes whatever a test wants.
struct RawPair {
    std::unique_ptr<Transport> source;
    std::unique_ptr<Channel> destination;
    RawPair() {
        Listener listener("127.0.0.1", 0, certificates().identity("b", "a"));
        auto accepted = std::async(std::launch::async, [&] { return listener.accept(after(10s)); });
        Identity identity = certificates().identity("a", "b");
        source = std::make_unique<Transport>(connectTcp("127.0.0.1", listener.port(), after(10s)),
                                             TlsContext(identity, TlsContext::Side::client), after(10s));
        greet(*source, makeHello(identity), after(10s));
        destination = std::move(accepted.get().main);
    }
};

void crc() {
    CHECK(crc32c(0, "123456789", 9) == 0xe3069283);
    std::mt19937 random(1);
    std::vector<uint8_t> bytes(100'000);
    for (auto &byte : bytes)
        byte = static_cast<uint8_t>(random());
    for (size_t from = 0; from < 16; from++)
        for (size_t size : {0, 1, 7, 8, 9, 63, 4079, 4080, 4081, 4096, 8167, 99'000})
            CHECK(crc32c(0, &bytes[from], size) == crc32cTable(0, &bytes[from], size));
    for (size_t split : {100, 4090})
        CHECK(crc32c(crc32c(0, bytes.data(), split), &bytes[split], 90'000) ==
              crc32cTable(0, bytes.data(), split + 90'000));
}

void roundTrip() {
    Pair pair = connectPair();
    std::vector<uint8_t> page(kMaxData, 0x5a);
    RunEntry run{0x10000, kMaxPagesPerFrame, 0};
    iovec data[2] = {{page.data(), 5000}, {page.data() + 5000, page.size() - 5000}};
    pair.source->send(FrameType::process, ProcessFrame{1, 0});
    sendPages(*pair.source, 1, std::span(&run, 1), data);
    Frame process = pair.destination->receive(after(5s)), pages = pair.destination->receive(after(5s));
    CHECK(process.type == FrameType::process && process.payload.size() == sizeof(ProcessFrame));
    CHECK(pages.type == FrameType::pages && pages.payload.size() == 16 + 16 + kMaxData);
    CHECK(std::equal(page.begin(), page.end(), pages.bytes().begin() + 32));
    pair.destination->send(FrameType::finalAck, FinalAckFrame{42});
    CHECK(pair.source->expect<FinalAckFrame>(FrameType::finalAck, after(5s)).stagedBytes == 42);
    CHECK(pair.source->bytesSent() > kMaxData && pair.destination->bytesReceived() > kMaxData);
    throwsCode("timeout", [&] { pair.source->receive(after(50ms)); });
}

/// Frames that are held back go together, in order, with what comes between them.
void together() {
    constexpr uint32_t kFrames = 50;
    Pair pair = connectPair();
    auto send = [&] {
        uint64_t before = pair.source->bytesSent();
        for (uint32_t i = 1; i <= kFrames; i++)
            pair.source->send(FrameType::process, ProcessFrame{i, 0});
        return pair.source->bytesSent() - before;
    };
    auto receive = [&] {
        for (uint32_t i = 1; i <= kFrames; i++)
            CHECK(pair.destination->expect<ProcessFrame>(FrameType::process, after(5s)).vpid == i);
    };
    uint64_t alone = send();
    receive();
    {
        Together outer(*pair.source);
        {
            Together inner(*pair.source);
            CHECK(send() == 0);
        }
        throwsCode("timeout", [&] { pair.destination->receive(after(50ms)); });
    }
    receive();
    uint64_t before = pair.source->bytesSent();
    std::vector<uint8_t> page(kMaxData, 0x5a);
    RunEntry run{0x10000, kMaxPagesPerFrame, 0};
    iovec data{page.data(), page.size()};
    {
        Together held(*pair.source);
        send();
        CHECK(pair.source->bytesSent() == before);
        sendPages(*pair.source, 1, std::span(&run, 1), std::span(&data, 1));
        receive(); // a large frame takes them along
        CHECK(pair.destination->receive(after(5s)).payload.size() == 16 + 16 + kMaxData);
        uint64_t sent = pair.source->bytesSent();
        send();
        CHECK(pair.source->bytesSent() == sent);
        pair.source->abort("enough"); // and this too
    }
    receive();
    throwsCode("peer-aborted", [&] { pair.destination->receive(after(5s)); });
    throwsCode("aborted", [&] { send(); });
    std::printf("        %u frames alone: %llu bytes on the wire\n", kFrames,
                static_cast<unsigned long long>(alone));
}

void strangers() {
    Listener listener("127.0.0.1", 0, certificates().identity("b", "a"));
    auto accepted = std::async(std::launch::async, [&] { return listener.accept(after(20s)); });
    auto connect = [&](const Identity &identity) {
        return Channel::connect("127.0.0.1", listener.port(), identity, after(5s));
    };
    throwsCode("tls", [&] { connect(certificates().identity("x", "b")); }); // wrong authority on both sides
    throwsCode("refused", [&] { connect(certificates().identity("b", "b")); }); // calls itself b, not a
    throwsCode("tls", [&] { connect(certificates().identity("a", "c")); });     // we wanted c, b answered
    Identity wrongToken = certificates().identity("a", "b");
    wrongToken.token[63] = 'd';
    throwsCode("refused", [&] { connect(wrongToken); });
    Identity wrongMigration = certificates().identity("a", "b");
    wrongMigration.migration[0] = '0';
    throwsCode("refused", [&] { connect(wrongMigration); });
    Identity foreign =
        certificates().identity("x", "b"); // trusts us, but is vouched for by another authority
    foreign.ca = certificates().identity("a", "b").ca;
    throwsCode("refused", [&] { connect(foreign); });
    { Fd plain = connectTcp("127.0.0.1", listener.port(), after(5s)); }
    auto right = connect(certificates().identity("a", "b")); // and the listener has gone on waiting
    CHECK(accepted.get().main != nullptr);
}

/// Each connection has to be the right one, and to be that which is due.
void severalStreams() {
    Listener listener("127.0.0.1", 0, certificates().identity("b", "a"));
    auto accepted = std::async(std::launch::async, [&] { return listener.accept(after(20s)); });
    Identity identity = certificates().identity("a", "b"), wrongToken = identity;
    wrongToken.token[0] = 'f';
    auto connect = [&](const Identity &who, uint16_t stream, uint16_t streams) {
        return Channel::connect("127.0.0.1", listener.port(), who, after(5s), {stream, streams});
    };
    throwsCode("refused", [&] { connect(identity, 0, 0); });
    throwsCode("refused", [&] { connect(identity, 0, kMaxStreams + 1); });
    throwsCode("refused", [&] { connect(identity, 1, 2); }); // before the main one
    auto main = connect(identity, 0, 2);
    throwsCode("refused", [&] { connect(identity, 0, 2); });
    throwsCode("refused", [&] { connect(identity, 3, 2); });
    throwsCode("refused", [&] { connect(identity, 1, 3); });
    throwsCode("refused", [&] { connect(wrongToken, 1, 2); });
    auto second = connect(identity, 2, 2);
    throwsCode("refused", [&] { connect(identity, 2, 2); });
    auto first = connect(identity, 1, 2);
    Streams streams = accepted.get();
    CHECK(streams.pages.size() == 2);
    first->send(FrameType::process, ProcessFrame{1, 0});
    second->send(FrameType::process, ProcessFrame{2, 0});
    CHECK(streams.pages[0]->receive(after(5s)).bytes()[0] == 1);
    CHECK(streams.pages[1]->receive(after(5s)).bytes()[0] == 2);
    streams.abort("enough");
    for (auto *channel : {main.get(), first.get(), second.get()})
        throwsCode("peer-aborted", [&] { channel->receive(after(5s)); });
}

void howManyStreams() {
    constexpr uint64_t gigabit = 125'000'000;
    CHECK(chooseStreams(2, 100 * gigabit) == 1);
    CHECK(chooseStreams(1, 0) == 1);
    CHECK(chooseStreams(8, 0) == 4);
    CHECK(chooseStreams(8, 1 * gigabit) == 1);
    CHECK(chooseStreams(8, 10 * gigabit) == 3);
    CHECK(chooseStreams(64, 100 * gigabit) == 4);
    CHECK(chooseStreams(6, 25 * gigabit) == 3);
}

void tooManyStrangers() {
    Listener listener("127.0.0.1", 0, certificates().identity("b", "a"));
    auto accepted = std::async(std::launch::async, [&] { return listener.accept(after(20s)); });
    for (int i = 0; i < Listener::kMaxFailures; i++)
        Fd plain = connectTcp("127.0.0.1", listener.port(), after(5s));
    throwsCode("refused", [&] { accepted.get(); });
}

void nobody() {
    Listener listener("127.0.0.1", 0, certificates().identity("b", "a"));
    throwsCode("timeout", [&] { listener.accept(after(100ms)); });
    auto accepted = std::async(std::launch::async, [&] { return listener.accept(after(20s)); });
    listener.cancel();
    throwsCode("aborted", [&] { accepted.get(); });
    throwsCode("unreachable", [&] {
        Fd unused = listenTcp("127.0.0.1", 0);
        uint16_t port = localPort(unused.get());
        unused.reset();
        Channel::connect("127.0.0.1", port, certificates().identity("a", "b"), after(5s));
    });
}

void refusedHeader(const std::function<void(FrameHeader &)> &spoil) {
    RawPair pair;
    uint8_t payload[8] = {1};
    FrameHeader header{kMagic,         static_cast<uint8_t>(FrameType::process), 0, 0,
                       sizeof payload, crc32c(0, payload, sizeof payload),       1};
    spoil(header);
    pair.source->writeAll(&header, sizeof header, after(5s));
    pair.source->writeAll(payload, sizeof payload, after(5s));
    throwsCode("protocol", [&] { pair.destination->receive(after(5s)); });
}

void malformedHeaders() {
    refusedHeader([](FrameHeader &header) { header.magic++; });
    refusedHeader([](FrameHeader &header) { header.type = 0; });
    refusedHeader([](FrameHeader &header) { header.type = 17; });
    refusedHeader([](FrameHeader &header) { header.type = 200; });
    refusedHeader([](FrameHeader &header) { header.flags = 2; });
    refusedHeader([](FrameHeader &header) { header.reserved = 1; });
    refusedHeader([](FrameHeader &header) { header.length = kMaxPayload + 1; });
    refusedHeader([](FrameHeader &header) { header.crc ^= 1; });
    refusedHeader([](FrameHeader &header) { header.sequence = 0; });
    refusedHeader([](FrameHeader &header) { header.sequence = 2; });
}

void errorsHavePriority() {
    Pair pair = connectPair();
    ErrorFrame head{4, 0, 0};
    char text[] = "fullno room";
    iovec parts[2] = {{&head, sizeof head}, {text, sizeof text - 1}};
    pair.destination->send(FrameType::error, parts);
    pair.destination.reset();
    std::vector<uint8_t> data(kMaxData);
    iovec part{data.data(), data.size()};
    auto what = throwsCode("full", [&] {
        for (int i = 0; i < 1000; i++)
            pair.source->send(FrameType::fileData, std::span<const iovec>(&part, 1));
    });
    CHECK(what.find("no room") != std::string::npos);
    throwsCode("full", [&] { pair.source->receive(after(1s)); });
}

void aborts() {
    Pair pair = connectPair();
    auto waiting = std::async(std::launch::async, [&] { pair.source->receive(after(20s)); });
    std::this_thread::sleep_for(50ms);
    pair.source->abort("enough");
    throwsCode("aborted", [&] { waiting.get(); });
    throwsCode("peer-aborted", [&] { pair.destination->receive(after(5s)); });
}

void peerGone() {
    Pair pair = connectPair();
    pair.source->send(FrameType::finalBegin);
    pair.source.reset();
    CHECK(pair.destination->receive(after(5s)).type == FrameType::finalBegin); // what came whole still counts
    throwsCode("peer-lost", [&] { pair.destination->receive(after(5s)); });
}

/// A silent peer is noticed in ten seconds; one that only does not read is waited for longer than that. Both
/// at once, to save time.
void silenceAndPatience() {
    RawPair silent;
    Pair slow = connectPair();
    std::vector<uint8_t> data(kMaxData, 1);
    constexpr int kFrames = 100;
    auto sender = std::async(std::launch::async, [&] {
        iovec part{data.data(), data.size()};
        for (int i = 0; i < kFrames; i++)
            slow.source->send(FrameType::fileData, std::span<const iovec>(&part, 1));
    });
    auto begin = Clock::now();
    throwsCode("peer-lost", [&] { silent.destination->receive(after(30s)); });
    auto time = Clock::now() - begin;
    CHECK(time > 9s && time < 12s);
    std::this_thread::sleep_for(3s);
    for (int i = 0; i < kFrames; i++)
        CHECK(slow.destination->receive(after(5s)).type == FrameType::fileData);
    sender.get();
}

void files() {
    TempDir directory;
    { std::ofstream(directory.path("a.img")) << std::string(3000000, 'x'); }
    Pair pair = connectPair();
    auto sender = std::async(std::launch::async,
                             [&] { return sendFile(*pair.source, "a.img", directory.path("a.img")); });
    Frame head = pair.destination->receive(after(5s));
    CHECK(head.type == FrameType::file);
    size_t size = 0;
    for (;;) {
        Frame frame = pair.destination->receive(after(5s));
        if (frame.type == FrameType::fileEnd)
            break;
        size += frame.payload.size();
    }
    CHECK(size == 3000000 && sender.get() == size);
    throwsCode("invalid", [&] { sendFile(*pair.source, "../a", directory.path("a.img")); });
    throwsCode("file", [&] { sendFile(*pair.source, "b", directory.path("b")); });
}

void speed() {
    Pair pair = connectPair();
    std::vector<uint8_t> data(kMaxData, 7);
    constexpr int kFrames = 1000;
    auto begin = Clock::now();
    auto sender = std::async(std::launch::async, [&] {
        iovec part{data.data(), data.size()};
        for (int i = 0; i < kFrames; i++)
            pair.source->send(FrameType::fileData, std::span<const iovec>(&part, 1));
    });
    for (int i = 0; i < kFrames; i++)
        pair.destination->receive(after(10s));
    sender.get();
    double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    std::printf("        TLS over loopback: %.2f GB/s\n", kFrames * double(kMaxData) / 1e9 / seconds);
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"crc32c equals the table and the standard", crc},
                     {"frames arrive as they were sent", roundTrip},
                     {"what is held back goes together", together},
                     {"strangers are refused and the right peer is waited for", strangers},
                     {"several streams: each the right one", severalStreams},
                     {"how many streams, by processors and link", howManyStreams},
                     {"too many strangers end the waiting", tooManyStrangers},
                     {"nobody comes, or the waiting is cancelled", nobody},
                     {"malformed headers are refused", malformedHeaders},
                     {"the peer's error has priority over a broken connection", errorsHavePriority},
                     {"an abort ends waiting on both sides", aborts},
                     {"the end of a connection is noticed", peerGone},
                     {"files are sent whole", files},
                     {"a silent peer is lost, a slow one is not", silenceAndPatience},
                     {"speed", speed}},
                    argc, argv);
}
