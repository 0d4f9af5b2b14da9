// SPDX-License-Identifier: Apache-2.0
// What the processes do that source_rounds.cpp migrates.
#pragma once

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <poll.h>
#include <random>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace sourcetest {

inline constexpr size_t kTargetPage = 4096;
inline constexpr size_t kHugePage = 2 << 20;

inline char *mapPages(size_t pages, char *at = nullptr, int protection = PROT_READ | PROT_WRITE) {
    return static_cast<char *>(mmap(at, pages * kTargetPage, protection,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0), -1,
                                    0));
}

inline void scribble(char *page, uint64_t value) {
    memcpy(page + 8 * (value % 500), &value, sizeof value);
    if (value == 0)
        page[0] = 1;
}

inline bool stdinEnded() {
    pollfd readable{0, POLLIN, 0};
    return poll(&readable, 1, 0) == 1;
}

/// Blocks of a huge page's size that begin with zeros, written ones: first few, then more and more. What lies
/// before them keeps readers from beginning at the bounds of blocks.
inline void fillRamps(size_t blocks) {
    constexpr size_t kBlock = kHugePage / kTargetPage, kBefore = 200;
    auto start = reinterpret_cast<uintptr_t>(mapPages((blocks + 2) * kBlock)) + kHugePage;
    char *at = reinterpret_cast<char *>((start + kHugePage - 1) / kHugePage * kHugePage);
    for (size_t page = 1; page <= kBefore; page++)
        scribble(at - page * kTargetPage, page);
    for (size_t page = 0; page < blocks * kBlock; page++, at += kTargetPage) {
        *static_cast<volatile char *>(at) = 0;
        if (page % kBlock >= (page / kBlock + 1) * kBlock / (blocks + 1))
            scribble(at, page);
    }
}

inline void peek(const char *at) {
    static_cast<void>(*static_cast<const volatile char *>(at));
}

/// Two huge pages, if the kernel has some to give.
inline char *mapHuge() {
    char *memory = mapPages(3 * kHugePage / kTargetPage);
    auto at = (reinterpret_cast<uintptr_t>(memory) + kHugePage - 1) / kHugePage * kHugePage;
    madvise(reinterpret_cast<void *>(at), 2 * kHugePage, MADV_HUGEPAGE);
    return reinterpret_cast<char *>(at);
}

/// Does one thing for each line of stdin, and prints the line when it is done.
inline int steps(bool again) {
    constexpr size_t kPages = 1000;
    char *main = mapPages(kPages);
    mapPages(1, nullptr, PROT_NONE); // keeps the kernel from joining the two
    char *spare = mapPages(kPages);
    char *heap = nullptr;
    char *huge = nullptr;
    auto fill = [](char *at, size_t pages, uint64_t value) {
        for (size_t i = 0; i < pages; i++)
            scribble(at + i * kTargetPage, value + i);
    };
    std::puts(again ? "exec" : "ready");
    std::fflush(stdout);
    // Unbuffered, so that no line is lost by exec.
    std::string line;
    for (char letter; read(0, &letter, 1) == 1;) {
        if (letter != '\n') {
            line += letter;
            continue;
        }
        if (line == "fill") {
            fill(main, kPages, 17);
            fill(spare, kPages, 1000003);
        } else if (line == "write") {
            for (size_t i = 0; i < 100; i++)
                scribble(main + i * 10 * kTargetPage, 99 + i);
        } else if (line == "zero") {
            memset(main + 20 * kTargetPage, 0, 50 * kTargetPage);
        } else if (line == "dontneed") {
            madvise(main + 100 * kTargetPage, 300 * kTargetPage, MADV_DONTNEED);
            fill(main + 200 * kTargetPage, 10, 5); // some come back, with other contents
        } else if (line == "dontneed-read") {
            // Read, not written: the kernel maps its page of zeros, and nothing is marked as written.
            madvise(main + 500 * kTargetPage, 100 * kTargetPage, MADV_DONTNEED);
            for (size_t i = 500; i < 600; i++)
                peek(main + i * kTargetPage);
        } else if (line == "huge") {
            huge = mapHuge();
            memset(huge, 7, 2 * kHugePage);
        } else if (line == "huge-read") {
            madvise(huge, 2 * kHugePage, MADV_DONTNEED);
            peek(huge + 5 * kTargetPage); // the huge page of zeros
        } else if (line == "unmap-map") {
            munmap(spare, kPages * kTargetPage);
            mapPages(kPages, spare);
            fill(spare, 3, 77);
        } else if (line == "move") {
            fill(spare, kPages, 4711);
            char *to = mapPages(kPages);
            mremap(spare, kPages * kTargetPage, kPages * kTargetPage, MREMAP_MAYMOVE | MREMAP_FIXED, to);
            mapPages(kPages, spare);
            fill(spare + 100 * kTargetPage, 5, 12);
            std::swap(to, spare);
        } else if (line == "protect") {
            mprotect(spare, kPages * kTargetPage, PROT_NONE); // what it holds stays
        } else if (line == "guard") {
            mprotect(spare, kPages * kTargetPage, PROT_READ | PROT_WRITE);
            madvise(spare + 10 * kTargetPage, 20 * kTargetPage, 102); // MADV_GUARD_INSTALL
            fill(spare, 5, 808);
        } else if (line == "grow") {
            spare = static_cast<char *>(
                mremap(spare, kPages * kTargetPage, 2 * kPages * kTargetPage, MREMAP_MAYMOVE));
            fill(spare + kPages * kTargetPage, 100, 31);
        } else if (line == "sparse") {
            char *sparse = mapPages(size_t(8) << 18); // 8 GiB
            for (size_t i = 0; i < 100; i++)
                scribble(sparse + i * (80u << 20), i + 3);
        } else if (line == "heap") {
            heap = static_cast<char *>(sbrk(3 << 20));
            memset(heap, 5, 3 << 20);
            sbrk(1 << 20);
        } else if (line == "shrink") {
            munmap(main + 50 * kTargetPage, 700 * kTargetPage);
            if (heap)
                memset(heap, 6, 1 << 20);
        } else if (line == "ramps") {
            fillRamps(32);
        } else if (line == "exec") {
            execl("/proc/self/exe", "source-target", "target", "steps-again", nullptr);
        }
        std::printf("%s\n", line.c_str());
        std::fflush(stdout);
        line.clear();
    }
    return 0;
}

/// One random change after another to a few regions that it owns.
class Scrambler {
  public:
    explicit Scrambler(unsigned seed) : random_(seed) {
        for (auto &region : regions_)
            region = {mapPages(kRegion), kRegion};
    }
    void step() {
        auto &region = regions_[random_() % regions_.size()];
        size_t first = random_() % region.pages, count = 1 + random_() % (region.pages - first);
        char *at = region.at + first * kTargetPage;
        switch (random_() % 40) {
        case 0:
            madvise(at, count * kTargetPage, MADV_DONTNEED);
            break;
        case 1:
            mapPages(count, at); // over the old contents
            break;
        case 2:
            move(region);
            break;
        case 3:
            mprotect(at, count * kTargetPage, PROT_NONE); // opened again before it is written
            break;
        case 4:
            munmap(region.at, region.pages * kTargetPage);
            region = {mapPages(kRegion), kRegion};
            break;
        case 5:
            memset(writable(at, count), 0, count * kTargetPage);
            break;
        default:
            for (size_t i = 0; i < std::min<size_t>(count, 40); i++)
                scribble(writable(at + i * kTargetPage, 1), random_());
        }
    }

  private:
    static constexpr size_t kRegion = 1500;
    struct Region {
        char *at;
        size_t pages;
    };
    static char *writable(char *at, size_t pages) {
        mprotect(at, pages * kTargetPage, PROT_READ | PROT_WRITE);
        return at;
    }
    void move(Region &region) {
        // mremap takes one mapping only: even out what mprotect has cut.
        writable(region.at, region.pages);
        auto *moved = mremap(region.at, region.pages * kTargetPage, region.pages * kTargetPage,
                             MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
        if (moved != MAP_FAILED) {
            munmap(region.at, region.pages * kTargetPage);
            region.at = static_cast<char *>(moved);
        }
    }
    std::mt19937 random_;
    std::vector<Region> regions_ = std::vector<Region>(5);
};

inline int scrambleThreads(unsigned seed, int threads) {
    std::atomic<bool> end = false;
    std::vector<std::thread> workers;
    for (int i = 0; i < threads; i++)
        workers.emplace_back([&, i] {
            Scrambler scrambler(seed + static_cast<unsigned>(i));
            for (int step = 0; !end; step++) {
                scrambler.step();
                if (step % 64 == 0)
                    usleep(500);
            }
        });
    while (!end) {
        end = stdinEnded();
        usleep(10000);
    }
    for (auto &worker : workers)
        worker.join();
    return 0;
}

/// Children come and go all the time: some write to what they inherited, some start another program.
inline int families() {
    Scrambler scrambler(5);
    for (unsigned round = 0; !stdinEnded(); round++) {
        for (int i = 0; i < 50; i++)
            scrambler.step();
        pid_t child = fork();
        if (child == 0 && round % 4 == 3)
            execl("/proc/self/exe", "source-target", "target", "brief", nullptr);
        if (child == 0) {
            for (int i = 0; i < 400; i++) {
                scrambler.step();
                usleep(200);
            }
            _exit(0);
        }
        usleep(8000);
        while (waitpid(-1, nullptr, WNOHANG) > 0)
            ;
    }
    return 0;
}

inline int brief() {
    Scrambler scrambler(9);
    for (int i = 0; i < 1500; i++) {
        scrambler.step();
        usleep(100);
    }
    return 0;
}

inline int gigabyte() {
    constexpr size_t kPages = 262144;
    char *memory = mapPages(kPages);
    for (size_t i = 0; i < kPages; i++)
        scribble(memory + i * kTargetPage, i + 1);
    std::puts("ready");
    std::fflush(stdout);
    std::mt19937 random(3);
    while (!stdinEnded()) {
        for (int i = 0; i < 200; i++)
            scribble(memory + random() % kPages * kTargetPage, random());
        usleep(2000);
    }
    return 0;
}

inline int runTarget(const std::string &mode) {
    if (mode == "steps" || mode == "steps-again")
        return steps(mode == "steps-again");
    if (mode == "brief")
        return brief();
    if (mode == "gigabyte")
        return gigabyte();
    std::puts("ready");
    std::fflush(stdout);
    if (mode == "mappings")
        return scrambleThreads(1, 4);
    if (mode == "families")
        return families();
    return 2;
}

} // namespace sourcetest
