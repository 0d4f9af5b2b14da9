// SPDX-License-Identifier: Apache-2.0
// Reading the pages of processes that stand still, at the time when they are written.
#include "checkpoint/memory_copy.hpp"
#include "source/batches.hpp"
#include "source/memory_reader.hpp"
#include <map>

namespace pclive {
namespace {

class StillProcess final : public image::PageSource {
  public:
    StillProcess(pid_t pid, Ranges held) : present(std::move(held)), pid_(pid) {}

    void fetch(const Range &range, uint8_t *room, std::vector<iovec> &pieces) const override {
        MemoryReader reader(pid_);
        pieces.push_back({room, range.end - range.start});
        eachBatch({range}, [&](std::span<const wire::RunEntry> runs) {
            reader.read(runs, room);
            for (const auto &run : runs)
                room += run.pages * kPageSize;
        });
    }

    const Ranges present;

  private:
    pid_t pid_;
};

using Processes = std::map<uint32_t, StillProcess>;

/// Only takes down what there is.
class StillSink final : public Sink {
  public:
    explicit StillSink(Processes &processes) : processes_(processes) {}

    void begin(uint32_t) override {}
    void gone(uint32_t) override {}
    void layout(uint32_t, std::span<const wire::AreaEntry>) override {}
    void absent(uint32_t, const Ranges &) override {}
    void copy(ProcessCopy &process, const Ranges &wanted) override {
        for (const auto &range : wanted)
            process.sending(range);
    }
    Json endRound(uint32_t) override { return Json::object(); }
    void beginFinal() override { processes_.clear(); }
    void present(const ProcessCopy &process, const Ranges &held) override {
        processes_.try_emplace(process.vpid(), process.id().pid, held);
    }
    void endFinal() override {}
    [[nodiscard]] SinkTotals totals() const override { return {}; }

  private:
    Processes &processes_;
};

class StillCopy final : public MemoryCopy {
  public:
    std::unique_ptr<Sink> sink(int, const std::atomic<bool> &) override {
        return std::make_unique<StillSink>(processes_);
    }
    [[nodiscard]] std::vector<image::ProcessPages> pages(bool) const override {
        std::vector<image::ProcessPages> result;
        for (const auto &[vpid, process] : processes_)
            result.push_back({vpid, process.present, {}, &process});
        return result;
    }
    void written() override {}

  private:
    Processes processes_;
};

} // namespace

std::unique_ptr<MemoryCopy> makeStillCopy() {
    return std::make_unique<StillCopy>();
}

} // namespace pclive
