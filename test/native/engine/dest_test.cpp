// SPDX-License-Identifier: Apache-2.0
// The destination: a whole session against a source that is a model and an overlay that restores nothing.
#include "support/fake_overlay.hpp"
#include "support/model_source.hpp"
#include "testing.hpp"

#include <cstdio>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <sys/statvfs.h>

using namespace pclive;
using namespace pclive::wire;
using namespace pclive::testing;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t kGiB = 1ull << 30, kMiB = 1ull << 20;

/// A destination's session, its connected source and its overlay.
struct Migration {
    TempDir directory;
    FakeOverlay overlay{directory.path("stage.sock")}; // first: it forks
    Recorder events;
    std::unique_ptr<Session> session = makeDestinationSession(events);
    Streams streams;
    Channel *channel = nullptr;
    std::unique_ptr<ModelSource> source;
    uint64_t files = 0, bytes = 0;

    explicit Migration(const std::string &strategy, uint16_t count = 1, unsigned stageAfter = 0) {
        mkdir(directory.path("images").c_str(), 0700);
        Identity us = certificates().identity("b", "a");
        Json answer = session->handle(
            "listen", {{"host", "127.0.0.1"},
                       {"port", 0u},
                       {"migration", us.migration},
                       {"token", us.token},
                       {"tls", {{"ca", us.ca}, {"cert", us.cert}, {"key", us.key}, {"peerName", "a"}}},
                       {"timeoutMs", 20000u}});
        session->handle("begin", {{"strategy", strategy},
                                  {"imageDir", directory.path("images")},
                                  {"overlaySocket", directory.path("stage.sock")},
                                  {"stageAfter", stageAfter},
                                  {"spool", directory.path()}});
        streams = connectStreams("127.0.0.1", answer["port"].get<uint16_t>(),
                                 certificates().identity("a", "b"), count, after(10s));
        channel = streams.main.get();
        source = std::make_unique<ModelSource>(streams);
        events.wait("connected");
    }
    void put(const std::string &name, const std::string &content) {
        std::ofstream(directory.path("file")) << content;
        bytes += sendFile(*channel, name, directory.path("file"));
        files++;
    }
    void go() { channel->send(FrameType::go, GoFrame{files, bytes}); }
    /// The error that the session tells the shim and the peer.
    void expectError(const std::string &code) {
        CHECK(events.wait("error")["code"] == code);
        throwsCode(code, [&] { channel->receive(after(5s)); });
    }
};

/// Compares every page of every area with the model: what is present must be there, all else must read as
/// zero.
void compare(const Migration &migration, const std::vector<pclo_area> &areas, uint32_t vpid) {
    const auto &process = migration.source->process(vpid);
    size_t found = 0;
    for (const auto &area : areas) {
        if (area.vpid != vpid)
            continue;
        CHECK(area.staged % PCLO_CONGRUENCE == area.start % PCLO_CONGRUENCE);
        std::vector<uint8_t> staged(std::min(area.end - area.start, 64 * kMiB)), page(kPageSize),
            zero(kPageSize);
        for (uint64_t at = area.start; at < area.end; at += staged.size()) {
            size_t size = std::min<uint64_t>(staged.size(), area.end - at);
            auto next = process.pages.lower_bound(at);
            if (next == process.pages.end() || next->first >= at + size)
                continue; // too much to look at: sparse
            migration.overlay.read(staged.data(), area.staged + (at - area.start), size);
            for (size_t offset = 0; offset < size; offset += kPageSize) {
                auto known = process.pages.find(at + offset);
                if (known != process.pages.end()) {
                    fillPage(page.data(), known->second);
                    found++;
                }
                const auto &expected = known == process.pages.end() ? zero : page;
                CHECK(memcmp(&staged[offset], expected.data(), kPageSize) == 0);
            }
        }
    }
    CHECK(found == process.pages.size());
}

void pipelined() {
    Migration migration("pipelined");
    auto &source = *migration.source;
    constexpr uint64_t heap = 0x555500000000, big = 0x7f0000000000, crossing = 64 * kGiB * 0x7e8 - 3 * kMiB;
    migration.put("descriptors.json", "[]");
    source.begin(1);
    source.begin(77);
    source.layout(1, {{heap, heap + 8 * kMiB, 0, 0}, {big, big + 64 * kMiB, kAreaDense, 0}});
    source.layout(77, {{big, big + 1 * kMiB, 0, 0}, {big + 1 * kMiB, big + 3 * kMiB, 0, 0}});
    source.write(1, heap + 3 * kPageSize, heap + 5 * kMiB);
    source.write(1, big, big + 64 * kMiB);
    source.write(77, big, big + 1 * kMiB);
    source.write(77, big + 1 * kMiB, big + 3 * kMiB);
    RoundAckFrame ack = source.endRound();
    CHECK(ack.round == 1 && ack.stagedBytes == 72 * kMiB - 3 * kPageSize);
    CHECK(migration.events.wait("round")["stagedBytes"] == ack.stagedBytes);
    CHECK(migration.overlay.hugeKb() >= 60 << 10);

    // A mapping that lies across two windows, one that grows out of its window, one that is cut, a process
    // that goes.
    source.layout(1, {{heap, heap + 2 * kMiB, 0, 0},
                      {heap + 3 * kMiB, heap + 8 * kMiB, 0, 0},
                      {crossing, crossing + 8 * kMiB, 0, 0},
                      {big - 2 * kMiB, big + 64 * kMiB, kAreaDense, 0}});
    source.write(1, crossing, crossing + 8 * kMiB);
    source.write(1, big - 2 * kMiB, big - 1 * kMiB);
    source.write(1, heap + 16 * kPageSize, heap + 20 * kPageSize);
    source.absent(1, big + 10 * kMiB, big + 11 * kMiB);
    source.absent(1, 0x10000, 0x20000);
    source.gone(77);
    source.begin(77);
    source.layout(77, {{big, big + 4 * kMiB, 0, 0}});
    source.write(77, big + 5 * kPageSize, big + 6 * kPageSize);
    source.endRound();

    source.beginFinal();
    source.forget(1, big + 20 * kMiB, big + 21 * kMiB + kPageSize); // only PRESENT tells
    source.write(1, heap + kPageSize, heap + 40 * kPageSize);
    uint64_t staged = source.endFinal();
    CHECK(staged == (source.process(1).pages.size() + source.process(77).pages.size()) * kPageSize);
    migration.put("inventory.img", std::string(100000, 'i'));
    migration.put("empty.img", "");
    migration.go();
    auto files = migration.channel->expect<FilesAckFrame>(FrameType::filesAck, after(5s));
    CHECK(files.files == 3 && files.bytes == 100002);
    auto areas = migration.overlay.waitGo();
    compare(migration, areas, 1);
    compare(migration, areas, 77);
    throwsCode("not-held", [&] { migration.session->handle("release", Json::object()); });
    migration.overlay.hold();
    CHECK(migration.events.wait("mark")["name"] == "go");
    CHECK(migration.events.wait("mark")["ms"] == 12.5);
    double ms = migration.events.wait("held")["memoryRestoreMs"];
    CHECK(ms >= 12.5 && ms < 1000);
    migration.streams = {}; // the source may go now
    migration.session->handle("release", Json::object());
    migration.events.wait("released");
    CHECK(!migration.events.has("peer-lost") && !migration.events.has("error"));
    std::ifstream inventory(migration.directory.path("images/inventory.img"));
    std::stringstream content;
    content << inventory.rdbuf();
    CHECK(content.str() == std::string(100000, 'i'));
}

/// Random writes, holes and moves in many rounds. A page is sent once at most in each, as by a real source.
void random(const std::string &strategy, uint16_t streams, unsigned stageAfter) {
    for (uint32_t seed = 1; seed <= 3; seed++) {
        Migration migration(strategy, streams, stageAfter);
        auto &source = *migration.source;
        std::mt19937 dice(seed);
        auto roll = [&](uint64_t below) { return dice() % below; };
        // Areas around a window's border; some pages everywhere.
        constexpr uint64_t base = 64 * kGiB * 100 - 32 * kMiB;
        std::vector<AreaEntry> all;
        source.begin(5);
        for (int round = 1; round <= 6; round++) {
            bool last = round == 6;
            std::set<uint64_t> told; // pages of which this round has spoken
            if (last)
                source.beginFinal();
            if (round == 1 || roll(2)) {
                all.clear();
                for (uint64_t at = base; at < base + 60 * kMiB;) {
                    at += roll(4) ? 0 : roll(2048) * kPageSize;
                    uint64_t size = (64 + roll(4096)) * kPageSize;
                    all.push_back({at, at + size, roll(3) ? 0 : kAreaDense, 0});
                    at += size;
                }
                source.layout(5, all);
            }
            for (int i = 0; i < 60; i++) {
                const auto &area = all[roll(all.size())];
                uint64_t pages = (area.end - area.start) / kPageSize;
                uint64_t first = roll(pages),
                         count = 1 + roll(std::min<uint64_t>(pages - first, roll(4) ? 8 : 1500));
                uint64_t start = area.start + first * kPageSize, end = start + count * kPageSize;
                if (auto next = told.lower_bound(start); next != told.end() && *next < end)
                    continue;
                for (uint64_t at = start; at < end; at += kPageSize)
                    told.insert(at);
                switch (roll(6)) {
                case 0:
                    source.absent(5, start, end);
                    break;
                case 1:
                    if (last)
                        source.forget(5, start, end);
                    break;
                default:
                    source.write(5, start, end);
                }
            }
            if (!last)
                source.endRound();
        }
        CHECK(source.endFinal() == source.process(5).pages.size() * kPageSize);
        migration.go();
        compare(migration, migration.overlay.waitGo(), 5);
    }
}

void inconsistent() {
    Migration migration("pipelined");
    auto &source = *migration.source;
    source.begin(1);
    source.layout(1, {{0x100000, 0x200000, 0, 0}});
    source.write(1, 0x100000, 0x180000);
    source.beginFinal();
    source.process(1).pages[0x190000] = 1;
    throwsCode("inconsistent", [&] { source.endFinal(); });
    CHECK(migration.events.wait("error")["code"] == "inconsistent");
}

void wrongStream(const std::function<void(Migration &)> &body, const std::string &strategy = "pipelined") {
    Migration migration(strategy);
    body(migration);
    migration.expectError("protocol");
}

/// Pages of a real process go over all of four streams, and one of these does what it must not.
void wrongPageStreams() {
    auto begun = [](const std::function<void(Migration &)> &body, const std::string &code) {
        Migration migration("pipelined", 4);
        migration.source->begin(1);
        migration.source->layout(1, {{0x100000, 0x200000, 0, 0}});
        body(migration);
        CHECK(code == "peer-lost" ? migration.events.wait("peer-lost").contains("message")
                                  : migration.events.wait("error")["code"] == code);
    };
    uint8_t page[kPageSize] = {1};
    auto send = [&](Channel &channel, uint32_t vpid, uint64_t address, uint64_t position) {
        RunEntry run{address, 1, 0};
        iovec data{page, sizeof page};
        sendPages(channel, vpid, std::span(&run, 1), std::span<const iovec>(&data, 1), position);
    };
    begun([&](Migration &m) { send(*m.channel, 1, 0x100000, 2); }, "protocol"); // these have their own
    begun(
        [&](Migration &m) {
            m.streams.pages[1]->send(FrameType::process, ProcessFrame{2, 0});
        },
        "protocol");
    begun([&](Migration &m) { m.streams.pages[2]->send(FrameType::go, GoFrame{0, 0}); }, "protocol");
    begun([&](Migration &m) { send(*m.streams.pages[0], 9, 0x100000, 2); }, "protocol");
    begun([&](Migration &m) { send(*m.streams.pages[3], 1, 0x200000, 2); }, "protocol");
    begun([&](Migration &m) { m.streams.pages[3].reset(); }, "peer-lost");
    // More pages than the round's end says.
    begun(
        [&](Migration &m) {
            send(*m.streams.pages[0], 1, 0x100000, 2);
            send(*m.streams.pages[1], 1, 0x101000, 2);
            usleep(100000);
            m.channel->send(FrameType::roundEnd, RoundEndFrame{1, 0, 1});
        },
        "protocol");
    // Pages for which the round's end is waited, and pages that wait for what never comes: an end from
    // outside.
    Migration waiting("pipelined", 2);
    send(*waiting.streams.pages[0], 1, 0x100000, 1000);
    waiting.channel->send(FrameType::roundEnd, RoundEndFrame{1, 0, 1});
    usleep(100000);
    waiting.session->abort();
    throwsCode("peer-aborted", [&] { waiting.channel->receive(after(5s)); });
}

/// Frames that are well formed but make no sense.
void wrongStreams() {
    auto page = [](Migration &migration, uint32_t vpid, uint64_t address) {
        migration.source->write(vpid, address, address + kPageSize);
    };
    auto prepare = [](Migration &migration) {
        migration.source->begin(1);
        migration.source->layout(1, {{0x100000, 0x200000, 0, 0}});
    };
    wrongStream([&](Migration &m) { page(m, 9, 0x100000); });                               // unknown process
    wrongStream([&](Migration &m) { prepare(m), page(m, 1, 0x200000); });                   // outside
    wrongStream([&](Migration &m) { prepare(m), m.source->write(1, 0x1ff000, 0x201000); }); // partly outside
    wrongStream([&](Migration &m) { m.channel->send(FrameType::process, ProcessFrame{0, 0}); });
    wrongStream([&](Migration &m) { m.channel->send(FrameType::process, ProcessFrame{1u << 30, 0}); });
    wrongStream([&](Migration &m) { m.channel->send(FrameType::processGone, ProcessFrame{3, 0}); });
    wrongStream([&](Migration &m) { m.channel->send(FrameType::roundEnd, RoundEndFrame{2, 0, 0}); });
    wrongStream([&](Migration &m) { m.channel->send(FrameType::roundEnd, RoundEndFrame{1, 0, 7}); });
    wrongStream([&](Migration &m) { m.channel->send(FrameType::finalEnd, FinalEndFrame{0, 0}); });
    wrongStream([&](Migration &m) {
        m.channel->send(FrameType::finalBegin), m.channel->send(FrameType::finalBegin);
    });
    wrongStream([&](Migration &m) {
        prepare(m), m.source->beginFinal(), m.channel->send(FrameType::finalEnd, FinalEndFrame{0, 0});
    });
    wrongStream([&](Migration &m) { m.go(); }); // no final round
    wrongStream([&](Migration &m) { m.channel->send(FrameType::finalAck, FinalAckFrame{1}); });
    wrongStream([&](Migration &m) { m.channel->send(FrameType::fileEnd, FileEndFrame{0}); });
    wrongStream([&](Migration &m) { prepare(m); }, "stop-and-copy");
    wrongStream([&](Migration &m) { m.put("a", "b"), m.files++, m.go(); }, "stop-and-copy");
    for (auto [start, end] : {std::pair<uint64_t, uint64_t>{0, 0x1000},
                              {0x1001, 0x3000},
                              {0x2000, 0x2000},
                              {0x3000, 0x2000},
                              {0x7fffffffe000, 0x800000001000},
                              {~uint64_t(0xfff), 0x1000}})
        wrongStream([&](Migration &m) { m.source->begin(1), m.source->layout(1, {{start, end, 0, 0}}); });
    wrongStream([&](Migration &m) {
        m.source->begin(1), m.source->layout(1, {{0x2000, 0x4000, 0, 0}, {0x3000, 0x5000, 0, 0}});
    });
    wrongStream([&](Migration &m) { m.source->begin(1), m.source->layout(1, {{0x2000, 0x4000, 0x80, 0}}); });
}

void wrongFile(const std::string &name, uint64_t size = 1) {
    wrongStream([&](Migration &migration) {
        FileFrame head{size, static_cast<uint32_t>(name.size()), 0};
        iovec parts[2] = {{&head, sizeof head}, {const_cast<char *>(name.data()), name.size()}};
        migration.channel->send(FrameType::file, parts);
    });
}

void wrongFiles() {
    for (const char *name : {"", ".", "..", "a/b", "../a", "/etc/passwd", "a b", "a\n", "\xc3\xa4"})
        wrongFile(name);
    wrongFile(std::string(256, 'a'));
    wrongFile("a", 1ull << 60);
    wrongStream([](Migration &migration) { // longer than announced
        FileFrame head{3, 1, 0};
        iovec parts[2] = {{&head, sizeof head}, {const_cast<char *>("a"), 1}};
        migration.channel->send(FrameType::file, parts);
        iovec data{const_cast<char *>("data"), 4};
        migration.channel->send(FrameType::fileData, std::span<const iovec>(&data, 1));
    });
    Migration links("stop-and-copy"); // a link that somebody left is replaced, not followed
    shell("ln -s ../victim " + links.directory.path("images/a"));
    links.put("a", "content");
    links.go();
    links.channel->expect<FilesAckFrame>(FrameType::filesAck, after(5s));
    struct stat status {};
    CHECK(stat(links.directory.path("victim").c_str(), &status) != 0);
}

void noSpace() {
    Migration migration("stop-and-copy");
    struct statvfs room {};
    CHECK(statvfs(migration.directory.path().c_str(), &room) == 0);
    FileFrame head{room.f_bavail * room.f_frsize + (1ull << 40), 1, 0};
    iovec parts[2] = {{&head, sizeof head}, {const_cast<char *>("a"), 1}};
    migration.channel->send(FrameType::file, parts);
    migration.expectError("no-space");
}

void stopAndCopy() {
    Migration migration("stop-and-copy");
    migration.put("pages-1.img", std::string(20 << 20, 'p'));
    migration.go();
    CHECK(migration.events.wait("images-ready")["imageDir"] == migration.directory.path("images"));
    CHECK(migration.overlay.waitGo().empty());
    migration.overlay.hold();
    CHECK(migration.events.wait("held")["memoryRestoreMs"] == -1);
    migration.session->handle("release", Json::object());
}

void peerGone() {
    Migration migration("pipelined");
    migration.source->begin(1);
    migration.streams = {};
    migration.events.wait("peer-lost");
    throwsCode("not-held", [&] { migration.session->handle("release", Json::object()); });
}

void overlayGone() {
    Migration migration("pipelined");
    migration.events.wait("overlay");
    migration.overlay.kill();
    migration.expectError("overlay-lost");
}

void aborted() {
    Migration migration("pipelined");
    migration.source->begin(1);
    migration.source->layout(1, {{0x100000, 0x200000, 0, 0}});
    migration.source->write(1, 0x100000, 0x200000);
    migration.source->endRound();
    migration.session->abort();
    throwsCode("peer-aborted", [&] { migration.channel->receive(after(5s)); });
    throwsCode("aborted", [&] { migration.session->handle("release", Json::object()); });
    CHECK(!migration.events.has("error"));
}

void held() {
    Migration migration("pipelined");
    migration.source->begin(1);
    migration.source->layout(1, {});
    migration.source->beginFinal();
    migration.source->endFinal();
    migration.go();
    CHECK(migration.overlay.waitGo().empty());
    migration.overlay.hold();
    migration.events.wait("held");
    migration.overlay.kill();
    CHECK(migration.events.wait("error")["code"] == "overlay-lost");
    throwsCode("overlay-lost", [&] { migration.session->handle("release", Json::object()); });
}

void requests() {
    Recorder events;
    auto session = makeDestinationSession(events);
    throwsCode("unknown-command", [&] { session->handle("fly", Json::object()); });
    throwsCode("invalid", [&] {
        session->handle("begin", {{"strategy", "hope"}, {"imageDir", "/"}, {"overlaySocket", "/a"}});
    });
    throwsCode("invalid", [&] { session->handle("listen", {{"port", 70000u}, {"timeoutMs", 1u}}); });
    throwsCode("files", [&] {
        session->handle("begin",
                        {{"strategy", "pipelined"}, {"imageDir", "/nowhere"}, {"overlaySocket", "/a"}});
    });
    CHECK(session->handle("stats", Json::object())["stagedBytes"] == 0);
    session->abort();
    throwsCode("aborted", [&] {
        session->handle("begin", {{"strategy", "pipelined"}, {"imageDir", "/tmp"}, {"overlaySocket", "/a"}});
    });
}

void speed() {
    Migration migration("pipelined");
    auto &channel = *migration.channel;
    constexpr uint64_t base = 0x7f0000000000, size = 1 * kGiB;
    migration.source->begin(1);
    migration.source->layout(1, {{base, base + size, 0, 0}});
    migration.events.wait("overlay");
    std::vector<uint8_t> data(kMaxData, 9);
    auto begin = Clock::now();
    for (uint64_t at = 0; at < size; at += kMaxData) {
        RunEntry run{base + at, kMaxPagesPerFrame, 0};
        iovec part{data.data(), data.size()};
        sendPages(channel, 1, std::span(&run, 1), std::span<const iovec>(&part, 1));
    }
    channel.send(FrameType::roundEnd, RoundEndFrame{1, 0, size / kPageSize});
    channel.expect<RoundAckFrame>(FrameType::roundAck, after(60s));
    double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    std::printf("        1 GiB sent and staged: %.2f GB/s, %llu MiB in huge pages\n",
                double(size) / 1e9 / seconds,
                static_cast<unsigned long long>(migration.overlay.hugeKb() >> 10));
}

} // namespace

int main(int argc, char **argv) {
    certificates(); // made before anything forks
    return runCases(
        {{"requests are checked", requests},
         {"pipelined: a migration from the first page to the release", pipelined},
         {"pipelined: random rounds", [] { random("pipelined", 1, 0); }},
         {"pipelined: random rounds over four streams", [] { random("pipelined", 4, 0); }},
         {"pipelined: random rounds, staged after the third", [] { random("pipelined", 1, 3); }},
         {"pipelined: random rounds over four streams, staged after the second",
          [] { random("pipelined", 4, 2); }},
         {"pipelined: random rounds, staged in the final one", [] { random("pipelined", 3, 100); }},
         {"a page that never came is an error", inconsistent},
         {"streams that make no sense are refused", wrongStreams},
         {"streams of pages that make no sense are refused", wrongPageStreams},
         {"files that do not belong are refused", wrongFiles},
         {"no space", noSpace},
         {"stop-and-copy: files, then hold", stopAndCopy},
         {"the peer goes away", peerGone},
         {"the overlay goes away", overlayGone},
         {"the overlay goes away when held", held},
         {"abort", aborted},
         {"speed", speed}},
        argc, argv);
}
