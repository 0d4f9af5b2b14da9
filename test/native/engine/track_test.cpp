// SPDX-License-Identifier: Apache-2.0
// The quick look finds exactly what a look from page to page does, whatever happened to the memory since.
#include "control/userfaultfd.hpp"
#include "testing.hpp"
#include "track/quick_look.hpp"

#include <cstdio>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

using namespace pclive;
using namespace pclive::testing;

namespace {

constexpr uint64_t kTable = 512 * kPageSize;
constexpr uint64_t kLength = 12 * kTable;
constexpr PageQuery kWritten{
    .inverted = page::kZero, .mask = page::kWritten | page::kZero, .anyOf = page::kPresent | page::kSwapped};

bool same(const Ranges &a, const Ranges &b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Range &x, const Range &y) { return x.start == y.start && x.end == y.end; });
}

/// Memory of ours, tracked as a container's is: three areas with holes between them, of which the last holds
/// huge pages.
class Subject {
  public:
    Subject() : fd_(uffd::open(uffd::kWpAsync | uffd::kWpUnpopulated)) {
        auto *all =
            ::mmap(nullptr, kLength + kTable, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        start_ = (reinterpret_cast<uint64_t>(all) + kTable - 1) / kTable * kTable;
        areas_ = {{start_, start_ + 4 * kTable + 7 * kPageSize},
                  {start_ + 5 * kTable - 3 * kPageSize, start_ + 7 * kTable},
                  {start_ + 8 * kTable, start_ + kLength}};
        for (const auto &area : areas_)
            ::mprotect(at(area.start), area.end - area.start, PROT_READ | PROT_WRITE);
        ::madvise(at(areas_.back().start), areas_.back().end - areas_.back().start, MADV_HUGEPAGE);
        CHECK(fd_);
        track();
    }
    ~Subject() { ::munmap(at(start_), kLength); }

    void change(std::mt19937 &random) {
        auto pick = [&](uint64_t below) { return random() % below; };
        const auto &area = areas_[pick(areas_.size())];
        uint64_t first = pick(pagesIn(area)), rest = pagesIn(area) - first;
        uint64_t few = std::min<uint64_t>(rest, 1 + pick(40)),
                 many = std::min<uint64_t>(rest, 1 + pick(1500));
        auto *from = static_cast<uint8_t *>(at(area.start + first * kPageSize));
        switch (pick(7)) {
        case 0:
            return touch(from, many);
        case 1:
            ::madvise(from, few * kPageSize, MADV_DONTNEED);
            return;
        case 2: // some tables go as a whole
            ::madvise(from, many * kPageSize, MADV_DONTNEED);
            return;
        case 3: // pages of zeros
            for (uint64_t page = 0; page < few; page++)
                sum_ += *const_cast<volatile uint8_t *>(from + page * kPageSize);
            return;
        case 4: // another mapping at the same place
            ::mmap(from, few * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                   0);
            return;
        default:
            return touch(from, few);
        }
    }

    /// As the tracker does in a round.
    void collect() {
        for (const auto &range : untracked())
            known_.erase(range);
        track();
        auto parts = doubtful(pagemap_, areas_, known_);
        auto protecting = kWritten;
        protecting.protect = true;
        auto dirty = pagemap_.find(parts, protecting);
        known_.retain(unite(subtract(areas_, parts), pagemap_.find(parts, kPresentPages)));
        for (const auto &range : dirty)
            known_.insert(range);
    }

    /// Pages that both ways looked at, or none if they differ.
    uint64_t compare() {
        auto known = known_;
        for (const auto &range : untracked())
            known.erase(range);
        auto parts = doubtful(pagemap_, areas_, known);
        auto present = unite(subtract(areas_, parts), pagemap_.find(parts, kPresentPages));
        looked_ += pagesIn(parts);
        bool right = same(present, pagemap_.find(areas_, kPresentPages)) &&
                     same(pagemap_.find(parts, kWritten), pagemap_.find(areas_, kWritten));
        return right ? pagesIn(areas_) : 0;
    }

    /// Pages that the quick look left over, of all looks.
    [[nodiscard]] uint64_t looked() const { return looked_; }

  private:
    static void *at(uint64_t address) { return reinterpret_cast<void *>(address); }
    static void touch(uint8_t *from, uint64_t pages) {
        for (uint64_t page = 0; page < pages; page++)
            const_cast<volatile uint8_t *>(from)[page * kPageSize] = 1;
    }
    void track() {
        for (const auto &area : areas_)
            CHECK(uffd::registerRange(fd_.get(), area.start, area.end));
    }
    Ranges untracked() {
        return pagemap_.find(areas_, {.inverted = page::kWpAllowed, .mask = page::kWpAllowed});
    }

    Fd fd_;
    Pagemap pagemap_{::getpid()};
    uint64_t start_ = 0, looked_ = 0;
    Ranges areas_;
    PageSet known_;
    unsigned sum_ = 0;
};

void possible() {
    CHECK(canLookQuickly()); // Linux 6.7 and newer; where it is false all looks are long ones
}

void differs() {
    for (unsigned seed = 1; seed <= 12; seed++) {
        std::mt19937 random(seed);
        Subject subject;
        uint64_t pages = 0;
        for (int look = 0; look < 60; look++) {
            for (auto changes = random() % 6; changes; changes--)
                subject.change(random);
            if (random() % 3 == 0)
                subject.collect();
            uint64_t compared = subject.compare();
            if (!compared) {
                std::printf("        seed %u, look %d\n", seed, look);
                CHECK(compared > 0);
            }
            pages += compared;
        }
        CHECK(subject.looked() < pages); // it does leave something out
        if (seed == 1)
            std::printf("        looked at %.0f %% page by page\n",
                        100.0 * static_cast<double>(subject.looked()) / static_cast<double>(pages));
    }
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"this kernel can do it", possible}, {"the same as page by page", differs}}, argc, argv);
}
