// SPDX-License-Identifier: Apache-2.0
// A source whose processes are only a table: it says on the wire what a source would say, and knows what must
// come out.
#pragma once

#include "wire/send.hpp"
#include "wire/streams.hpp"
#include <map>
#include <vector>

namespace pclive::testing {

/// A page's content follows from its seed alone.
void fillPage(uint8_t *page, uint64_t seed);

class ModelSource {
  public:
    struct Process {
        std::vector<wire::AreaEntry> areas;
        std::map<uint64_t, uint64_t> pages; // address -> seed
    };

    explicit ModelSource(wire::Streams &streams) : streams_(streams), channel_(*streams.main) {}

    Process &process(uint32_t vpid) { return processes_[vpid]; }
    void begin(uint32_t vpid);
    void gone(uint32_t vpid);
    /// Announces the areas; pages outside of them are gone.
    void layout(uint32_t vpid, std::vector<wire::AreaEntry> areas);
    /// Writes new contents into the pages of [start, end) and sends them.
    void write(uint32_t vpid, uint64_t start, uint64_t end);
    void absent(uint32_t vpid, uint64_t start, uint64_t end);
    /// The page goes away without a word, as pages do between two rounds.
    void forget(uint32_t vpid, uint64_t start, uint64_t end);
    wire::RoundAckFrame endRound();
    void beginFinal();
    /// PRESENT of all processes and FINAL_END; waits for the answer.
    uint64_t endFinal();

  private:
    void sendRun(uint32_t vpid, uint64_t start, uint32_t pages);

    wire::Streams &streams_;
    wire::Channel &channel_;
    std::map<uint32_t, Process> processes_;
    uint32_t round_ = 0;
    uint64_t roundPages_ = 0, seed_ = 1;
};

} // namespace pclive::testing
