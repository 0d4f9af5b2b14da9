// SPDX-License-Identifier: Apache-2.0
// The role of a restore: begin, stats, abort.
#include "control/arguments.hpp"
#include "dest/overlay.hpp"
#include "dest/windows.hpp"
#include "lazy/keeper.hpp"
#include "lazy/server.hpp"
#include "restore/loader.hpp"
#include "restore/shadow.hpp"
#include "restore/verify.hpp"

#include <algorithm>
#include <cstdio>
#include <future>
#include <thread>

namespace pclive {
namespace {

using dest::Overlay;
using restore::Loader;

/// From begin until runC has brought CRIU to its waiting place.
constexpr std::chrono::milliseconds kOverlayTime{60000};
constexpr std::chrono::milliseconds kReleaseTime{30000};
/// Who checks sums maps pages for the most part, and processors do that side by side.
constexpr unsigned kMostVerifiers = 4;
/// Two fill the memory bus of most machines.
constexpr unsigned kThreads = 2;
/// Less is placed in no time, and in huge pages.
constexpr uint64_t kLazyFrom = 64u << 20;

unsigned verifiers() {
    return std::clamp(std::thread::hardware_concurrency(), 1u, kMostVerifiers);
}

class RestoreSession final : public Session {
  public:
    explicit RestoreSession(Events &events) : events_(events) {}
    ~RestoreSession() override;

    Json handle(const std::string &command, const Json &arguments) override;
    void abort() noexcept override;

  private:
    Json begin(const Json &arguments);
    Json stats();
    void open(const Json &arguments);
    void read(const Json &arguments);
    void work() noexcept;
    void stage();
    void load(int pid, const std::vector<pclo_area> &areas);
    bool stageLazily(const std::vector<pclo_area> &areas);
    void releaseLazily(const std::vector<int> &pids);
    uint64_t fill();
    std::vector<pclo_area> reserve();
    void release(const std::vector<int> &pids) noexcept;
    void fail(const Error &error) noexcept;
    void stillWanted() const;

    Events &events_;
    std::mutex
        mutex_; // of what follows; what the pointers show to lives as long as the session once it is set
    bool begun_ = false, failed_ = false, lazy_ = false;
    std::atomic<bool> aborted_ = false;
    std::unique_ptr<restore::Layers> layers_;
    restore::Plan plan_;
    restore::Chunks chunks_;
    std::unique_ptr<Loader> loader_;
    std::unique_ptr<Overlay> overlay_;
    std::unique_ptr<lazy::Server> server_;
    std::future<restore::Mappings> verified_;
    std::thread worker_, ahead_, releaser_;
};

RestoreSession::~RestoreSession() {
    abort();
    for (auto *thread : {&worker_, &ahead_})
        if (thread->joinable())
            thread->join();
    overlay_.reset(); // its thread starts the releaser
    if (releaser_.joinable())
        releaser_.join();
}

Json RestoreSession::handle(const std::string &command, const Json &arguments) {
    if (command == "begin")
        return begin(arguments);
    if (command == "stats")
        return stats();
    throw unknownCommand(command);
}

Json RestoreSession::begin(const Json &arguments) {
    open(arguments);
    try {
        read(arguments);
    } catch (const Error &) {
        abort(); // CRIU may have come already
        throw;
    }
    std::lock_guard lock(mutex_);
    stillWanted();
    worker_ = std::thread([this] { work(); });
    ahead_ = std::thread([this] { restore::readAhead(*layers_, aborted_); });
    return {{"processes", plan_.count},
            {"pages", plan_.pages},
            {"bytes", plan_.stagedBytes},
            {"verified", layers_->summed()}};
}

/// First of all, as CRIU may be on its way.
void RestoreSession::open(const Json &arguments) {
    std::lock_guard lock(mutex_);
    stillWanted();
    if (begun_)
        throw Error("invalid", "already begun");
    begun_ = true;
    lazy_ = boolField(arguments, "lazy", false);
    overlay_ = std::make_unique<Overlay>(
        stringField(arguments, "overlaySocket"),
        dest::OverlayEvents{
            .connected =
                [this](int pid) {
                    events_.emit("overlay", {{"pid", pid}});
                },
            .mark =
                [this](const dest::Mark &mark) {
                    Json fields{{"name", mark.name}, {"t", std::to_string(mark.realtimeNs)}};
                    if (mark.name == "mappings-end")
                        fields["ms"] = mark.ms;
                    events_.emit("mark", fields);
                },
            .held =
                [this](const std::vector<int> &pids) {
                    events_.emit("held", {{"memoryRestoreMs", -1}});
                    releaser_ = std::thread([this, pids] { release(pids); });
                },
            .released = [this] { events_.emit("released", Json::object()); },
            .lost = [this](const Error &error) { fail(error); },
        });
    events_.emit("listening", Json::object());
}

void RestoreSession::read(const Json &arguments) {
    layers_ = std::make_unique<restore::Layers>(stringField(arguments, "imageDir"));
    auto processes = restore::readProcesses(layers_->top());
    layers_->check();
    plan_ = restore::makePlan(*layers_, processes);
    restore::writeShadow(stringField(arguments, "shadowDir"), layers_->top(), plan_);
    lazy_ = lazy_ && plan_.stagedBytes >= kLazyFrom;
}

Json RestoreSession::stats() {
    std::lock_guard lock(mutex_);
    return {{"stagedBytes", loader_ ? loader_->bytes() : 0}, {"backlogBytes", 0}, {"wireBytes", 0}};
}

void RestoreSession::work() noexcept {
    try {
        stage();
    } catch (const Error &error) {
        fail(error);
    } catch (const std::exception &error) {
        fail(Error("internal", error.what()));
    }
}

/// Windows for all that is staged: what CRIU is told at GO.
std::vector<pclo_area> RestoreSession::reserve() {
    std::vector<pclo_area> areas;
    for (const auto &process : plan_.processes) {
        dest::Windows windows;
        for (const auto &area : process.areas) {
            dest::Range range{area.start, area.end};
            if (!windows.find(range)) {
                auto wanted = windows.wanted(range, process.areas);
                windows.add({wanted.start, wanted.end, overlay_->window(wanted)});
            }
            areas.push_back({process.vpid, 0, area.start, area.end, windows.find(range)->at(area.start)});
        }
    }
    return areas;
}

/// All that is going to be filled is known: huge pages then come with the first write instead of being made
/// of small ones, block by block; and the threads do not wait for each other.
std::vector<pclo_advise> hugeAdvice(const std::vector<uint64_t> &blocks) {
    std::vector<pclo_advise> advice;
    for (uint64_t block : blocks) {
        if (!advice.empty() && advice.back().start + advice.back().len == block)
            advice.back().len += dest::kBlockBytes;
        else
            advice.push_back({block, dest::kBlockBytes, PCLO_ADVISE_HUGE, 0});
    }
    return advice;
}

void RestoreSession::stage() {
    // Beside all that CRIU does; the release waits for it.
    if (lazy_)
        verified_ = std::async(std::launch::async, [this] {
            return restore::verifyPages(layers_->files(), verifiers(), aborted_);
        });
    int pid = overlay_->waitConnected(kOverlayTime);
    auto areas = reserve();
    bool lazy = lazy_ && stageLazily(areas);
    if (!lazy)
        load(pid, areas);
    overlay_->go(areas, PCLO_STOCK_NETWORK);
    events_.emit("go", {{"bytes", plan_.stagedBytes}, {"lazy", lazy}});
}

/// Puts all that is staged where it belongs.
void RestoreSession::load(int pid, const std::vector<pclo_area> &areas) {
    chunks_ = makeChunks(*layers_, plan_, areas);
    overlay_->advise(hugeAdvice(chunks_.blocks));
    {
        std::lock_guard lock(mutex_);
        stillWanted();
        loader_ = std::make_unique<Loader>(*layers_, chunks_, pid, kThreads);
    }
    loader_->run();
}

/// Leaves the windows empty, and gets ready to fill them when they are wanted. False when this kernel, or
/// this container, cannot do without.
bool RestoreSession::stageLazily(const std::vector<pclo_area> &areas) {
    try {
        server_ = std::make_unique<lazy::Server>(layers_->files(), overlay_->userfaultfd());
        auto area = areas.begin();
        for (const auto &process : plan_.processes)
            for (const auto &extent : process.extents) {
                while (extent.address >= area->end || area->vpid != process.vpid)
                    ++area;
                uint64_t start = area->staged + (extent.address - area->start);
                server_->add({start, start + extent.size, extent.file, extent.offset});
            }
        for (const auto &each : areas)
            server_->watch(each.staged, each.staged + (each.end - each.start));
        server_->start();
        return true;
    } catch (const Error &error) {
        if (error.code() != "no-lazy")
            throw;
        std::fprintf(stderr, "all memory is placed before the restore: %s\n", error.what());
        server_.reset();
        return false; // load() holds all against its sums
    }
}

/// The tasks run from the release on, and must have all their memory, or end.
void RestoreSession::release(const std::vector<int> &pids) noexcept {
    try {
        if (server_)
            releaseLazily(pids);
        else
            overlay_->release(kReleaseTime);
    } catch (const Error &error) {
        fail(error);
    } catch (const std::exception &error) {
        fail(Error("internal", error.what()));
    }
}

void RestoreSession::releaseLazily(const std::vector<int> &pids) {
    // What comes while the tasks run must not turn out to be damaged then.
    auto mapped = verified_.get(); // until nobody waits
    lazy::Keeper keeper(pids);
    overlay_->release(kReleaseTime);
    uint64_t bytes = fill();
    keeper.standDown(); // before the shim hears that all is done, and ends us
    events_.emit("filled", {{"bytes", bytes}});
}

uint64_t RestoreSession::fill() {
    try {
        return server_->fill();
    } catch (const Error &error) {
        throw Error(error.code(),
                    std::string("the container was ended, since its memory could not be filled: ") +
                        error.what(),
                    error.remedy());
    }
}

void RestoreSession::stillWanted() const {
    if (aborted_)
        throw Error("aborted", "the restore was aborted");
}

/// The first failure is the one that counts: CRIU's end is a consequence.
void RestoreSession::fail(const Error &error) noexcept {
    {
        std::lock_guard lock(mutex_);
        if (aborted_ || failed_)
            return;
        failed_ = true;
    }
    std::fprintf(stderr, "failed: %s: %s\n", error.code().c_str(), error.what());
    events_.emit("error", {{"code", error.code()}, {"message", error.what()}, {"remedy", error.remedy()}});
    abort();
}

void RestoreSession::abort() noexcept {
    std::lock_guard lock(mutex_);
    aborted_ = true;
    if (loader_)
        loader_->abort();
    if (overlay_)
        overlay_->abort();
}

} // namespace

std::unique_ptr<Session> makeRestoreSession(Events &events) {
    return std::make_unique<RestoreSession>(events);
}

} // namespace pclive
