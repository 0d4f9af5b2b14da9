// SPDX-License-Identifier: Apache-2.0
// Rounds that go into the engine's own memory: read straight into place, by several threads.
#include "checkpoint/memory_copy.hpp"
#include "checkpoint/mirror.hpp"
#include "control/error.hpp"
#include "control/parallel.hpp"
#include "control/priority.hpp"
#include "source/batches.hpp"
#include "source/memory_reader.hpp"
#include "source/timing.hpp"

namespace pclive {
namespace {

using MirrorMap = std::map<uint32_t, std::unique_ptr<Mirror>>; // by vpid
using Batch = std::vector<wire::RunEntry>;

/// Batches that one thread reads in a row: threads should not meet in one huge page.
constexpr size_t kBatchesTogether = 8;

/// What one thread has found, in address order.
struct Found {
    Ranges kept, empty;
};

struct Worker {
    Worker(int nice, pid_t pid) : niceness(nice), reader(pid) {}
    Niceness niceness;
    MemoryReader reader;
};

class MirrorSink final : public Sink {
  public:
    MirrorSink(WindowMaker &windows, MirrorMap &mirrors, int nice, const std::atomic<bool> &stopped)
        : windows_(windows), mirrors_(mirrors), nice_(nice), stopped_(stopped) {}

    void begin(uint32_t vpid) override { mirrors_[vpid] = std::make_unique<Mirror>(windows_); }
    void gone(uint32_t vpid) override { mirrors_.erase(vpid); }
    void layout(uint32_t vpid, std::span<const wire::AreaEntry> areas) override {
        Ranges ranges;
        for (const auto &area : areas)
            ranges.push_back({area.start, area.end});
        mirrors_.at(vpid)->retain(ranges);
    }
    void absent(uint32_t vpid, const Ranges &ranges) override { mirrors_.at(vpid)->drop(ranges); }
    void copy(ProcessCopy &process, const Ranges &wanted) override;
    Json endRound(uint32_t) override { return Json::object(); }

    /// A process that is gone by now has nothing in the image.
    void beginFinal() override {
        for (auto &[vpid, mirror] : mirrors_)
            mirror->present.clear();
    }
    void present(const ProcessCopy &process, const Ranges &held) override {
        mirrors_.at(process.vpid())->present = held;
    }
    void endFinal() override {}

    [[nodiscard]] SinkTotals totals() const override {
        return {.pages = pages_, .zeroPages = zeroPages_, .droppedPages = droppedPages_, .readMs = readMs_};
    }

  private:
    void read(const Batch &batch, const Mirror &mirror, MemoryReader &reader, Found &found);

    WindowMaker &windows_;
    MirrorMap &mirrors_;
    int nice_;
    const std::atomic<bool> &stopped_;
    std::atomic<uint64_t> pages_ = 0, zeroPages_ = 0, droppedPages_ = 0;
    std::atomic<double> readMs_ = 0;
};

void MirrorSink::copy(ProcessCopy &process, const Ranges &wanted) {
    Stopwatch watch;
    auto &mirror = *mirrors_.at(process.vpid());
    mirror.reserve(wanted);
    std::vector<Batch> batches;
    eachBatch(wanted,
              [&](std::span<const wire::RunEntry> runs) { batches.emplace_back(runs.begin(), runs.end()); });
    size_t threads = memoryThreads();
    size_t together = std::clamp<size_t>(batches.size() / threads, 1, kBatchesTogether);
    std::vector<Found> found((batches.size() + together - 1) / together);
    parallel(
        found.size(), threads, [&] { return Worker(nice_, process.id().pid); },
        [&](size_t job, Worker &worker) {
            for (size_t i = job * together; i < std::min(batches.size(), (job + 1) * together); i++)
                read(batches[i], mirror, worker.reader, found[job]);
        });
    Ranges absent;
    for (const auto &part : found) {
        for (const auto &range : part.kept)
            process.sending(range);
        for (const auto &range : part.empty)
            process.empty(range, absent);
        mirror.keep(part.kept);
    }
    // Not before all are kept: what one thread found empty may lie in one huge page with what another one
    // kept.
    for (const auto &part : found)
        mirror.drop(part.empty);
    droppedPages_ += pagesIn(absent);
    readMs_ = readMs_ + watch.ms();
}

void MirrorSink::read(const Batch &batch, const Mirror &mirror, MemoryReader &reader, Found &found) {
    if (stopped_)
        throw Error("aborted", "the checkpoint was aborted");
    std::vector<iovec> places;
    for (const auto &run : batch)
        mirror.fetch({run.start, run.start + run.pages * kPageSize}, nullptr, places);
    auto unreadable = reader.read(batch, places);
    size_t index = 0;
    uint64_t kept = 0;
    auto place = places.begin();
    uint64_t offset = 0; // in `place`
    for (const auto &run : batch)
        for (uint64_t at = run.start; at < run.start + run.pages * kPageSize; at += kPageSize, index++) {
            const auto *contents = static_cast<const uint8_t *>(place->iov_base) + offset;
            bool empty = unreadable[index] || isZeroPage(contents);
            appendRange(empty ? found.empty : found.kept, at, at + kPageSize);
            kept += !empty;
            offset += kPageSize;
            if (offset == place->iov_len) {
                ++place;
                offset = 0;
            }
        }
    pages_ += kept;
    zeroPages_ += index - kept;
}

class Mirrors final : public MemoryCopy {
  public:
    explicit Mirrors(const std::string &spool) : windows_(spool, availableMemory) {}

    std::unique_ptr<Sink> sink(int nice, const std::atomic<bool> &stopped) override {
        return std::make_unique<MirrorSink>(windows_, mirrors_, nice, stopped);
    }
    [[nodiscard]] std::vector<image::ProcessPages> pages(bool inParent) const override {
        std::vector<image::ProcessPages> result;
        for (const auto &[vpid, mirror] : mirrors_)
            result.push_back(
                {vpid, mirror->present, inParent ? mirror->unchanged() : Ranges{}, mirror.get()});
        return result;
    }
    void written() override {
        for (auto &[vpid, mirror] : mirrors_)
            mirror->written();
    }

  private:
    WindowMaker windows_;
    MirrorMap mirrors_;
};

} // namespace

std::unique_ptr<MemoryCopy> makeMirrors(const std::string &spool) {
    return std::make_unique<Mirrors>(spool);
}

} // namespace pclive
