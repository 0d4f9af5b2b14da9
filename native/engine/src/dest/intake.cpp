// SPDX-License-Identifier: Apache-2.0
#include "dest/intake.hpp"

#include "control/priority.hpp"

namespace pclive::dest {

using wire::FrameType;

namespace {

double msSince(wire::Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(wire::Clock::now() - begin).count();
}

} // namespace

Intake::Intake(Events &events, Options options, std::function<void(const Error &)> failed)
    : events_(events), options_(std::move(options)), cpu_(options_.cpuPercent), files_(options_.imageDir) {
    if (options_.strategy == Strategy::precopy) {
        images_ = std::make_unique<ImageStore>(options_.imageDir);
        ledger_ = std::make_unique<Ledger>(*images_);
    }
    overlay_ = std::make_unique<Overlay>(options_.overlaySocket, overlayEvents(failed));
    if (options_.strategy == Strategy::pipelined)
        makeStaging();
    if (delayed_)
        stager_ = std::make_unique<Stager>(*delayed_, turns_, cpu_, failed);
    if (ledger_)
        pageStreams_ = std::make_unique<PageStreams>(*ledger_, turns_, cpu_, std::move(failed));
}

/// Whoever works on staged memory ends before the overlay does.
Intake::~Intake() {
    abort();
    stager_.reset();
    pageStreams_.reset();
}

void Intake::makeStaging() {
    staging_ = std::make_unique<StagingStore>(*overlay_);
    if (options_.stageAfter)
        delayed_ = std::make_unique<DelayedStore>(*staging_, options_.stageAfter, options_.spool);
    ledger_ = std::make_unique<Ledger>(delayed_ ? static_cast<Store &>(*delayed_) : *staging_);
}

void Intake::abort() noexcept {
    cpu_.lift();
    if (pageStreams_)
        pageStreams_->stop();
    if (stager_)
        stager_->stop();
    overlay_->abort();
}

OverlayEvents Intake::overlayEvents(std::function<void(const Error &)> lost) {
    return {
        .connected =
            [this](int pid) {
                events_.emit("overlay", {{"pid", pid}});
            },
        .mark =
            [this](const Mark &mark) {
                Json fields{{"name", mark.name}, {"t", std::to_string(mark.realtimeNs)}};
                if (mark.name == "mappings-end") {
                    fields["ms"] = mark.ms;
                    restoreMs_ = restoreMs_ + mark.ms; // only this thread, once takeGo() has set it
                }
                events_.emit("mark", fields);
            },
        .held = [this](const std::vector<int> &) { emitHeld(); },
        .released = [this] { events_.emit("released", Json::object()); },
        .lost = std::move(lost),
    };
}

void Intake::emitHeld() {
    double ms = options_.strategy == Strategy::pipelined ? restoreMs_.load() : -1; // else CRIU's log tells
    events_.emit("held", {{"memoryRestoreMs", ms}});
}

void Intake::run(wire::Streams &streams) {
    streams_ = &streams;
    auto &channel = *streams.main;
    if (pageStreams_)
        pageStreams_->start(streams);
    setPriorityOfAll(kBackground);
    for (;;) {
        // Without a deadline: rounds may be far apart, and the channel notices by itself when the peer is
        // gone.
        wire::Frame frame = channel.receive(wire::Deadline::max());
        if (Ledger::concerns(frame.type))
            takeProcesses(channel, frame);
        else if (FileSink::concerns(frame.type))
            files_.take(frame);
        else if (frame.type == FrameType::go)
            return takeGo(channel, frame);
        else
            wire::malformed(frame.type, "not for a destination");
    }
}

void Intake::takeProcesses(wire::Channel &channel, const wire::Frame &frame) {
    if (!ledger_)
        wire::malformed(frame.type, "stop-and-copy has no pages of its own");
    if (frame.type == FrameType::finalBegin) {
        setPriorityOfAll(kUrgent);
        cpu_.lift();
    }
    cpu_.pace();
    pageStreams_->before(frame);
    {
        auto turn = turns_.alone();
        ledger_->take(frame);
        if (delayed_ && frame.type == FrameType::finalBegin)
            delayed_->begin();
    }
    pageStreams_->after(frame);
    if (stager_ && (frame.type == FrameType::roundEnd || frame.type == FrameType::finalBegin))
        stager_->wake();
    if (stager_ && frame.type == FrameType::finalEnd)
        stager_->finish();
    answer(channel, frame);
}

void Intake::answer(wire::Channel &channel, const wire::Frame &frame) {
    if (frame.type == FrameType::roundEnd) {
        wire::RoundAckFrame ack{ledger_->rounds(), 0, ledger_->stagedBytes(),
                                streams_->bytesQueued() + waitingBytes()};
        channel.send(FrameType::roundAck, ack);
        events_.emit(
            "round",
            {{"round", ack.round}, {"stagedBytes", ack.stagedBytes}, {"backlogBytes", ack.backlogBytes}});
    } else if (frame.type == FrameType::finalEnd) {
        channel.send(FrameType::finalAck, wire::FinalAckFrame{ledger_->stagedBytes()});
        events_.emit("final", {{"stagedBytes", ledger_->stagedBytes()}});
    }
}

void Intake::takeGo(wire::Channel &channel, const wire::Frame &frame) {
    setPriorityOfAll(kUrgent);
    auto go = wire::decode<wire::GoFrame>(frame);
    if (files_.open() || go.files != files_.files() || go.bytes != files_.bytes())
        wire::malformed(frame.type, "files are missing");
    if (ledger_ && !ledger_->complete())
        wire::malformed(frame.type, "before the end of the final round");
    if (staging_)
        return handOver(channel);
    if (images_)
        images_->finish(ledger_->processes());
    confirmFiles(channel);
    events_.emit("images-ready", {{"imageDir", options_.imageDir}});
    overlay_->waitConnected(kRestoreTime);
    events_.emit("go", Json::object());
    overlay_->go({});
}

/// Pipelined: CRIU first, everybody else is told afterwards; this is in the pause.
void Intake::handOver(wire::Channel &channel) {
    overlay_->waitConnected(kRestoreTime);
    auto begin = wire::Clock::now();
    auto areas = staging_->areas(ledger_->processes());
    restoreMs_ = msSince(begin);
    overlay_->go(areas);
    events_.emit("go", Json::object());
    confirmFiles(channel);
}

void Intake::confirmFiles(wire::Channel &channel) {
    channel.send(FrameType::filesAck, wire::FilesAckFrame{files_.files(), files_.bytes()});
    events_.emit("files", {{"files", files_.files()}, {"bytes", files_.bytes()}});
}

} // namespace pclive::dest
