// SPDX-License-Identifier: Apache-2.0
// The source's role: the shim's commands, and in which order they may come.
#include "control/commands.hpp"
#include "control/priority.hpp"
#include "source/container.hpp"
#include "source/dump_socket.hpp"
#include "source/files.hpp"
#include "source/wire_sink.hpp"
#include "wire/send.hpp"

namespace pclive {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kMaxTimeoutMs = 3'600'000;
constexpr auto kFilesAckTimeout = 10min; // the peer may have gigabytes to write to a disk
constexpr unsigned kMaxHeadroom = 90;    // percent
constexpr auto kDetachPatience = 3s;

/// connect and begin may come in either order; both are needed for everything else.
enum class Phase : uint8_t { open, tracking, final, files, detached };

/// As asked for; 0 or nothing: chosen by processors and link.
uint16_t streamCount(const Json &arguments, const std::string &host) {
    auto asked = static_cast<uint16_t>(numberField(arguments, "streams", 0, wire::kMaxStreams, 0));
    if (asked)
        return asked;
    uint64_t link = wire::linkSpeed(host), bound = numberField(arguments, "bandwidth", 0, UINT64_MAX, 0);
    return wire::chooseStreams(std::thread::hardware_concurrency(),
                               link && bound ? std::min(link, bound) : link + bound);
}

class SourceSession final : public Session {
  public:
    explicit SourceSession(Events &events) : events_(events) {}

    Json handle(const std::string &command, const Json &arguments) override {
        static const Commands<SourceSession> kCommands{
            {"connect", &SourceSession::connect}, {"begin", &SourceSession::begin},
            {"round", &SourceSession::round},     {"dirty", &SourceSession::dirty},
            {"final", &SourceSession::final},     {"dump-go", &SourceSession::dumpGo},
            {"files", &SourceSession::files},     {"put", &SourceSession::put},
            {"detach", &SourceSession::detach}};
        return carryOut(*this, kCommands, command, arguments, [this] { checkNotAborted(); });
    }

    /// The connection and the overlay socket go first, which ends whatever is under way; then the tracking.
    void abort() noexcept override {
        if (aborted_.exchange(true))
            return;
        if (auto streams = currentStreams())
            streams->abort("the migration was aborted at the source");
        if (auto dump = currentDump())
            dump->stop();
        if (auto cpu = currentCpu())
            cpu->lift();
        if (std::unique_lock lock(work_, kDetachPatience); lock)
            container_.reset();
    }

  private:
    Json connect(const Json &arguments) {
        std::lock_guard lock(work_);
        if (currentStreams())
            throw Error("wrong-state", "already connected");
        const auto &tls = objectField(arguments, "tls");
        wire::Identity identity{stringField(tls, "ca"),
                                stringField(tls, "cert"),
                                stringField(tls, "key"),
                                stringField(tls, "peerName"),
                                stringField(arguments, "migration"),
                                stringField(arguments, "token")};
        auto host = stringField(arguments, "host");
        auto port = static_cast<uint16_t>(numberField(arguments, "port", 1, 65535));
        auto timeout = std::chrono::milliseconds(numberField(arguments, "timeoutMs", 1, kMaxTimeoutMs));
        headroom_ = static_cast<unsigned>(numberField(arguments, "headroomPercent", 0, kMaxHeadroom, 0));
        bandwidth_ = numberField(arguments, "bandwidth", 0, UINT64_MAX, 0);
        auto cpu = std::make_shared<CpuLimit>(cpuPercent(arguments));
        auto streams = std::make_shared<wire::Streams>(
            wire::connectStreams(host, port, identity, streamCount(arguments, host), wire::after(timeout)));
        {
            std::lock_guard parts(parts_);
            streams_ = std::move(streams);
            cpu_ = std::move(cpu);
        }
        if (aborted_) // it came while the connection was made
            currentStreams()->abort("the migration was aborted at the source");
        return Json::object();
    }

    Json begin(const Json &arguments) {
        std::lock_guard lock(work_);
        if (phase_ != Phase::open)
            throw Error("wrong-state", "begin was given already");
        pages_ = boolField(arguments, "pages", true);
        if (pages_)
            container_ = std::make_unique<Container>(
                containerOptions(arguments, chooseTracker(stringField(arguments, "tracker", "auto"))),
                events_);
        auto dump = std::make_shared<DumpSocket>(stringField(arguments, "overlaySocket"), pages_, events_);
        {
            std::lock_guard parts(parts_);
            dump_ = std::move(dump);
        }
        if (aborted_)
            currentDump()->stop();
        phase_ = Phase::tracking;
        return Json::object();
    }

    Json round(const Json &) {
        std::unique_lock lock(work_);
        auto &container = trackedContainer("round");
        // What was written since is little, and each moment more makes it more: only the first round takes
        // its time.
        WireSink sink(connected(), {bandwidth_, kBackground, cpu_.get(), std::exchange(headroom_, 0)});
        return container.round(sink);
    }

    Json dirty(const Json &) {
        std::unique_lock lock(work_);
        return trackedContainer("dirty").dirty();
    }

    Json final(const Json &) {
        std::unique_lock lock(work_);
        if (!pages_ && phase_ == Phase::tracking) { // stop-and-copy: CRIU may look at once
            phase_ = Phase::final;
            events_.emit("snapshotted");
            return {{"pages", 0},  {"bytes", 0},  {"wireBytes", 0},
                    {"scanMs", 0}, {"sendMs", 0}, {"totalMs", 0}};
        }
        auto &container = trackedContainer("final");
        WireSink sink(connected(), {.nice = kUrgent}); // no limits: they would make the pause longer
        phase_ = Phase::final;
        return container.final(sink, [this](Snapshot snapshot) {
            currentDump()->setSnapshot(std::move(snapshot));
            events_.emit("snapshotted");
        });
    }

    /// Not behind the lock: it comes while `final` sends its pages.
    Json dumpGo(const Json &) {
        auto dump = currentDump();
        if (!dump)
            throw Error("wrong-state", "dump-go before begin");
        dump->go();
        return Json::object();
    }

    /// Not behind the lock: a file may go while a round does.
    Json put(const Json &arguments) {
        auto bytes =
            wire::sendFile(*connected().main, stringField(arguments, "name"), stringField(arguments, "path"));
        putFiles_++;
        putBytes_ += bytes;
        return {{"bytes", bytes}};
    }

    Json files(const Json &arguments) {
        std::unique_lock lock(work_);
        if (phase_ != Phase::final && !(phase_ == Phase::tracking && !pages_))
            throw Error("wrong-state", "files must come after final");
        auto &channel = *connected().main;
        auto totals = sendSkeleton(channel, stringField(arguments, "dir"));
        channel.expect<wire::FilesAckFrame>(wire::FrameType::filesAck, wire::after(kFilesAckTimeout));
        phase_ = Phase::files;
        return {{"files", totals.files}, {"bytes", totals.bytes}};
    }

    /// Some thirty files, most of them of a few hundred bytes, and *go*.
    FileTotals sendSkeleton(wire::Channel &channel, const std::string &dir) {
        wire::Together together(channel);
        auto totals = sendDirectory(channel, dir);
        channel.send(wire::FrameType::go, wire::GoFrame{totals.files + putFiles_, totals.bytes + putBytes_});
        return totals;
    }

    Json detach(const Json &) {
        std::unique_lock lock(work_);
        container_.reset();
        phase_ = Phase::detached;
        return Json::object();
    }

    Container &trackedContainer(const std::string &command) {
        checkNotAborted();
        if (phase_ != Phase::tracking || !container_)
            throw Error("wrong-state", command + " needs a begin with pages, and no final before");
        return *container_;
    }

    wire::Streams &connected() {
        checkNotAborted();
        auto streams = currentStreams();
        if (!streams)
            throw Error("wrong-state", "not connected to the peer");
        return *streams; // never replaced, and lives as long as the session
    }

    void checkNotAborted() const {
        if (aborted_)
            throw Error("aborted", "the migration was aborted");
    }

    std::shared_ptr<wire::Streams> currentStreams() {
        std::lock_guard parts(parts_);
        return streams_;
    }
    std::shared_ptr<CpuLimit> currentCpu() {
        std::lock_guard parts(parts_);
        return cpu_;
    }
    std::shared_ptr<DumpSocket> currentDump() {
        std::lock_guard parts(parts_);
        return dump_;
    }

    Events &events_;
    std::timed_mutex work_; ///< one of the long commands at a time
    Phase phase_ = Phase::open;
    bool pages_ = true;
    uint64_t bandwidth_ = 0;
    unsigned headroom_ = 0; ///< of the next round
    std::unique_ptr<Container> container_;

    std::mutex parts_; ///< what abort() must reach while work_ is held
    std::shared_ptr<wire::Streams> streams_;
    std::shared_ptr<DumpSocket> dump_;
    std::shared_ptr<CpuLimit> cpu_;
    std::atomic<bool> aborted_ = false;
    std::atomic<uint64_t> putFiles_ = 0, putBytes_ = 0;
};

} // namespace

std::unique_ptr<Session> makeSourceSession(Events &events) {
    return std::make_unique<SourceSession>(events);
}

} // namespace pclive
