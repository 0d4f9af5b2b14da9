// SPDX-License-Identifier: Apache-2.0
#include "dest/page_streams.hpp"

namespace pclive::dest {

using wire::FrameType;

PageStreams::~PageStreams() {
    stop();
    for (auto &thread : threads_)
        thread.join();
}

void PageStreams::start(wire::Streams &streams) {
    for (auto &channel : streams.pages)
        threads_.emplace_back([this, &channel = *channel] { run(channel); });
}

void PageStreams::stop() noexcept {
    finish();
    order_.stop();
}

void PageStreams::before(const wire::Frame &frame) {
    if (!any())
        return;
    if (frame.type == FrameType::pages)
        wire::malformed(frame.type, "not on the main connection");
    if (frame.type == FrameType::roundEnd)
        order_.awaitPages(wire::decode<wire::RoundEndFrame>(frame).pages);
    if (frame.type == FrameType::finalEnd)
        order_.awaitPages(wire::decode<wire::FinalEndFrame>(frame).pages);
}

void PageStreams::after(const wire::Frame &frame) {
    if (frame.type == FrameType::finalEnd)
        finish();
    order_.frameTaken();
}

void PageStreams::run(wire::Channel &channel) noexcept {
    try {
        for (;;)
            take(channel.receive(wire::Deadline::max()));
    } catch (const Error &error) {
        if (!finished_)
            failed_(error);
    } catch (const std::exception &error) {
        if (!finished_)
            failed_(Error("internal", error.what()));
    }
    order_.stop(); // the main connection shall not wait for pages of this one
}

void PageStreams::take(const wire::Frame &frame) {
    if (frame.type != FrameType::pages)
        wire::malformed(frame.type, "not on a connection for pages");
    auto list = wire::decodePages(frame);
    order_.awaitPosition(list.position);
    cpu_.pace();
    if (!takeBeside(list)) {
        auto turn = turns_.alone();
        ledger_.takePages(list);
    }
    order_.pagesTaken(list.pages);
}

bool PageStreams::takeBeside(const wire::PageList &list) {
    auto turn = turns_.beside();
    return ledger_.takePagesBeside(list);
}

} // namespace pclive::dest
