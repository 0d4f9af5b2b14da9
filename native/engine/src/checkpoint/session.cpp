// SPDX-License-Identifier: Apache-2.0
// The role `checkpoint`: the shim's commands, and in which order they may come.
#include "checkpoint/memory_copy.hpp"
#include "control/commands.hpp"
#include "control/priority.hpp"
#include "image/writer.hpp"
#include "source/container.hpp"
#include "source/dump_socket.hpp"
#include "source/progress.hpp"
#include "source/timing.hpp"

namespace pclive {
namespace {

using namespace std::chrono_literals;

constexpr auto kDetachPatience = 3s;

/// open → begin → tracking → final → recorded → write → tracking, and so on. Where the container stands still
/// there are no rounds. After a failed round or final nothing is known any more for sure.
enum class Phase : uint8_t { open, tracking, recorded, failed, detached };

class CheckpointSession final : public Session {
  public:
    explicit CheckpointSession(Events &events) : events_(events) {}

    Json handle(const std::string &command, const Json &arguments) override {
        static const Commands<CheckpointSession> kCommands{
            {"begin", &CheckpointSession::begin},      {"round", &CheckpointSession::round},
            {"dirty", &CheckpointSession::dirty},      {"final", &CheckpointSession::final},
            {"dump-go", &CheckpointSession::dumpGo},   {"write", &CheckpointSession::write},
            {"dump-end", &CheckpointSession::dumpEnd}, {"detach", &CheckpointSession::detach}};
        return carryOut(*this, kCommands, command, arguments, [this] { checkNotAborted(); });
    }

    void abort() noexcept override {
        if (progress_.stopped.exchange(true))
            return;
        if (auto dump = currentDump())
            dump->stop();
        if (std::unique_lock lock(work_, kDetachPatience); lock)
            container_.reset();
    }

  private:
    Json begin(const Json &arguments) {
        std::lock_guard lock(work_);
        if (phase_ != Phase::open)
            throw Error("wrong-state", "begin was given already");
        auto tracker = stringField(arguments, "tracker", "auto");
        still_ = tracker == "none";
        container_ = std::make_unique<Container>(
            containerOptions(arguments, still_ ? lookingTracker() : chooseTracker(tracker)), events_);
        copy_ = still_ ? makeStillCopy() : makeMirrors(stringField(arguments, "spool"));
        auto dump = std::make_shared<DumpSocket>(stringField(arguments, "overlaySocket"), true, events_);
        {
            std::lock_guard parts(parts_);
            dump_ = std::move(dump);
        }
        if (progress_.stopped) // it came meanwhile
            currentDump()->stop();
        phase_ = Phase::tracking;
        return Json::object();
    }

    /// Nothing is to be tracked, only looked at; what PAGEMAP_SCAN does, or any kernel's page map.
    static TrackerKind lookingTracker() {
        return probeFeatures().pagemapScan ? TrackerKind::uffd : TrackerKind::softDirty;
    }

    Json round(const Json &) {
        std::lock_guard lock(work_);
        auto &container = tracked("round", {Phase::tracking, Phase::recorded});
        if (still_)
            throw Error("wrong-state", "without a tracker there are no rounds");
        return guarded([&] {
            phase_ = Phase::tracking;
            return container.round(*copy_->sink(kBackground, progress_.stopped));
        });
    }

    Json dirty(const Json &) {
        std::lock_guard lock(work_);
        return tracked("dirty", {Phase::tracking, Phase::recorded}).dirty();
    }

    Json final(const Json &) {
        std::lock_guard lock(work_);
        auto &container = tracked("final", {Phase::tracking, Phase::recorded});
        return guarded([&] {
            auto answer =
                container.final(*copy_->sink(kUrgent, progress_.stopped), [this](Snapshot snapshot) {
                    currentDump()->setSnapshot(std::move(snapshot));
                    events_.emit("snapshotted");
                });
            phase_ = Phase::recorded;
            return answer;
        });
    }

    /// Not behind the lock: it comes while `final` reads its pages.
    Json dumpGo(const Json &arguments) {
        auto dump = currentDump();
        if (!dump)
            throw Error("wrong-state", "dump-go before begin");
        dump->go(boolField(arguments, "keepNetworkLock", false), boolField(arguments, "holdEnd", false));
        return Json::object();
    }

    Json dumpEnd(const Json &) {
        auto dump = currentDump();
        if (!dump)
            throw Error("wrong-state", "dump-end before begin");
        dump->end();
        return Json::object();
    }

    Json write(const Json &arguments) {
        std::lock_guard lock(work_);
        tracked("write", {Phase::recorded});
        image::WriteOptions options;
        options.skeleton = stringField(arguments, "skeleton");
        options.to = stringField(arguments, "to");
        options.criu = currentDump()->criuVersion();
        if (arguments.contains("parent"))
            options.parent = stringField(arguments, "parent");
        options.mode = {boolField(arguments, "direct", false), still_ ? kUrgent : kBackground};
        Stopwatch watch;
        progress_.bytes = 0;
        Ticker ticker([this] { events_.emit("progress", {{"writtenBytes", progress_.bytes.load()}}); });
        auto totals = image::writeImage(options, copy_->pages(options.parent.has_value()), progress_);
        copy_->written();
        phase_ = Phase::tracking;
        return {
            {"files", totals.files}, {"bytes", totals.bytes}, {"pages", totals.pages}, {"ms", watch.ms()}};
    }

    Json detach(const Json &) {
        std::lock_guard lock(work_);
        container_.reset();
        phase_ = Phase::detached;
        return Json::object();
    }

    Container &tracked(const std::string &command, std::initializer_list<Phase> phases) {
        checkNotAborted();
        if (!container_ || std::find(phases.begin(), phases.end(), phase_) == phases.end())
            throw Error("wrong-state",
                        command + " may not come now: begin, any number of rounds, final, write");
        return *container_;
    }

    /// Dirty pages that were lost on the way would be missing in every later image.
    template <class Work> Json guarded(Work work) {
        try {
            return work();
        } catch (...) {
            phase_ = Phase::failed;
            throw;
        }
    }

    void checkNotAborted() const {
        if (progress_.stopped)
            throw Error("aborted", "the checkpoint was aborted");
    }

    std::shared_ptr<DumpSocket> currentDump() {
        std::lock_guard parts(parts_);
        return dump_;
    }

    Events &events_;
    std::timed_mutex work_; ///< one of the long commands at a time
    Phase phase_ = Phase::open;
    bool still_ = false; ///< the container stands still throughout
    std::unique_ptr<Container> container_;
    std::unique_ptr<MemoryCopy> copy_;
    image::WriteProgress progress_;

    std::mutex parts_; ///< what abort() must reach while work_ is held
    std::shared_ptr<DumpSocket> dump_;
};

} // namespace

std::unique_ptr<Session> makeCheckpointSession(Events &events) {
    return std::make_unique<CheckpointSession>(events);
}

} // namespace pclive
