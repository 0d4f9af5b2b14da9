// SPDX-License-Identifier: Apache-2.0
// The role `measure`: finds what a container writes, and reads and keeps none of it.
#include "control/commands.hpp"
#include "source/container.hpp"
#include "source/sink.hpp"
#include <atomic>
#include <map>
#include <mutex>

namespace pclive {
namespace {

using namespace std::chrono_literals;

constexpr auto kDetachPatience = 3s;

/// Counts instead of copying.
class CountingSink final : public Sink {
  public:
    /// `written` collects what is found from the second look on.
    CountingSink(std::map<uint32_t, PageSet> &written, bool first) : written_(written), first_(first) {}

    void begin(uint32_t) override {}
    void gone(uint32_t vpid) override { written_.erase(vpid); }
    void layout(uint32_t, std::span<const wire::AreaEntry>) override {}
    void absent(uint32_t, const Ranges &) override {}
    void copy(ProcessCopy &process, const Ranges &wanted) override {
        totals_.pages += pagesIn(wanted);
        for (const auto &range : wanted) {
            process.sending(range);
            if (!first_)
                written_[process.vpid()].insert(range);
        }
    }
    Json endRound(uint32_t) override { return Json::object(); }
    void beginFinal() override {}
    void present(const ProcessCopy &, const Ranges &) override {}
    void endFinal() override {}
    [[nodiscard]] SinkTotals totals() const override { return totals_; }

  private:
    std::map<uint32_t, PageSet> &written_;
    bool first_;
    SinkTotals totals_;
};

class MeasureSession final : public Session {
  public:
    explicit MeasureSession(Events &events) : events_(events) {}

    Json handle(const std::string &command, const Json &arguments) override {
        static const Commands<MeasureSession> kCommands{{"begin", &MeasureSession::begin},
                                                        {"look", &MeasureSession::look}};
        return carryOut(*this, kCommands, command, arguments, [this] { checkNotAborted(); });
    }

    void abort() noexcept override {
        if (aborted_.exchange(true))
            return;
        if (std::unique_lock lock(work_, kDetachPatience); lock)
            container_.reset();
    }

  private:
    Json begin(const Json &arguments) {
        std::lock_guard lock(work_);
        if (container_)
            throw Error("wrong-state", "begin was given already");
        auto tracker = chooseTracker(stringField(arguments, "tracker", "auto"));
        container_ = std::make_unique<Container>(containerOptions(arguments, tracker), events_);
        return {{"tracker", tracker == TrackerKind::uffd ? "uffd" : "soft-dirty"}};
    }

    Json look(const Json &) {
        std::lock_guard lock(work_);
        checkNotAborted();
        if (!container_)
            throw Error("wrong-state", "look before begin");
        CountingSink sink(written_, first_);
        Json answer = container_->round(sink);
        first_ = false;
        uint64_t written = 0;
        for (const auto &[vpid, pages] : written_)
            written += pages.pages();
        answer["dirtyPages"] = sink.totals().pages;
        answer["writtenPages"] = written;
        return answer;
    }

    void checkNotAborted() const {
        if (aborted_)
            throw Error("aborted", "the measurement was aborted");
    }

    Events &events_;
    std::timed_mutex work_; ///< one look at a time
    std::unique_ptr<Container> container_;
    std::map<uint32_t, PageSet> written_; ///< by vpid
    bool first_ = true;
    std::atomic<bool> aborted_ = false;
};

} // namespace

std::unique_ptr<Session> makeMeasureSession(Events &events) {
    return std::make_unique<MeasureSession>(events);
}

} // namespace pclive
