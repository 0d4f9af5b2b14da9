// SPDX-License-Identifier: Apache-2.0
// Memory that comes when it is wanted: what is missing is followed through all that a process does to its
// mappings, by the list alone and with a real process and the kernel's own messages.
#include "lazy/keeper.hpp"
#include "lazy/page_map.hpp"
#include "lazy/server.hpp"
#include "testing.hpp"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace pclive;
using namespace pclive::testing;
using lazy::Part;

namespace {

constexpr uint64_t kPage = 4096, kPages = 4096, kBytes = kPages * kPage; // 16 MiB

bool is(const std::optional<Part> &part, uint64_t start, uint64_t end, uint64_t offset) {
    return part && part->start == start && part->end == end && part->offset == offset;
}

void cutsBlocks() {
    lazy::PageMap map;
    map.add({0x3000, 0x30000, 0, 0x500});
    CHECK(is(map.around(0x3000, 0x10000), 0x3000, 0x10000, 0x500));
    CHECK(is(map.around(0x12345, 0x10000), 0x10000, 0x20000, 0xd500));
    CHECK(!map.around(0x2fff, 0x10000) && !map.around(0x30000, 0x10000));
    CHECK(is(map.first(0x2000), 0x3000, 0x5000, 0x500));
}

void erasesInTheMiddle() {
    lazy::PageMap map;
    map.add({0x10000, 0x20000, 0, 0});
    map.erase(0x14000, 0x18000);
    CHECK(!map.around(0x15000, 0x1000));
    CHECK(is(map.around(0x13000, 0x10000), 0x10000, 0x14000, 0));
    CHECK(is(map.around(0x18000, 0x10000), 0x18000, 0x20000, 0x8000));
    map.erase(0, 0x100000);
    CHECK(map.empty());
}

void movesOverOthers() {
    lazy::PageMap map;
    map.add({0x10000, 0x20000, 0, 0});
    map.add({0x40000, 0x50000, 1, 0});
    map.move(0x18000, 0x44000, 0x4000);
    CHECK(is(map.around(0x44000, 0x10000), 0x44000, 0x48000, 0x8000));
    CHECK(is(map.around(0x40000, 0x10000), 0x40000, 0x44000, 0));
    CHECK(is(map.around(0x48000, 0x10000), 0x48000, 0x50000, 0x8000));
    CHECK(!map.around(0x18000, 0x1000) && is(map.around(0x1c000, 0x1000), 0x1c000, 0x1d000, 0xc000));
    map.move(0x44000, 0x46000, 0x4000); // overlapping itself
    CHECK(is(map.around(0x46000, 0x1000), 0x46000, 0x47000, 0x8000));
    CHECK(!map.around(0x44000, 0x1000));
}

/// The word that page `i` of the file begins with.
uint64_t wordOf(uint64_t i) {
    return i * 0x9e3779b97f4a7c15 + 1;
}

/// A pages file in memory.
std::vector<restore::PagesFile> pagesFile() {
    std::vector<restore::PagesFile> files;
    files.push_back({Fd(memfd_create("pages", MFD_CLOEXEC)), kBytes, "pages-1.img", "pages-1.img", nullptr});
    CHECK(ftruncate(files[0].fd.get(), kBytes) == 0);
    for (uint64_t i = 0; i < kPages; i++) {
        uint64_t word = wordOf(i);
        CHECK(pwrite(files[0].fd.get(), &word, sizeof word, static_cast<off_t>(i * kPage)) == sizeof word);
    }
    return files;
}

/// A process with one mapping that has no pages yet. It says that it is ready, waits for a byte, runs `body`,
/// and ends with what that says.
struct Subject {
    char *memory;
    pid_t pid;
    Fd talk, userfaultfd;

    explicit Subject(const std::function<bool(char *)> &body) {
        int ends[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        memory = static_cast<char *>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        CHECK(memory != MAP_FAILED);
        pid = fork();
        if (pid == 0) {
            int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
            char byte;
            if (write(ends[1], &fd, sizeof fd) != sizeof fd || read(ends[1], &byte, 1) != 1)
                _exit(2);
            close(fd);
            _exit(body(memory) ? 0 : 1);
        }
        munmap(memory, kBytes);
        talk = Fd(ends[0]);
        close(ends[1]);
        int fd = -1;
        CHECK(read(talk.get(), &fd, sizeof fd) == sizeof fd);
        if (fd < 0)
            throw Skip("no userfaultfd");
        Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
        userfaultfd = Fd(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
        CHECK(userfaultfd);
    }
    ~Subject() {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
    }
    void go() const { CHECK(write(talk.get(), "g", 1) == 1); }
    int status() const {
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid);
        return status;
    }
};

bool holds(const char *memory, uint64_t first, uint64_t count, uint64_t as) {
    for (uint64_t i = 0; i < count; i++) {
        uint64_t word;
        memcpy(&word, memory + (first + i) * kPage, sizeof word);
        if (word != wordOf(as + i))
            return false;
    }
    return true;
}

bool isEmpty(const char *memory, uint64_t first, uint64_t count) {
    for (uint64_t i = 0; i < count * kPage; i++)
        if (memory[first * kPage + i])
            return false;
    return true;
}

/// A subject that a server gives its pages.
struct Served {
    std::vector<restore::PagesFile> files = pagesFile();
    Subject subject;
    lazy::Server server;

    explicit Served(const std::function<bool(char *)> &body)
        : subject(body), server(files, std::move(subject.userfaultfd)) {
        auto start = reinterpret_cast<uint64_t>(subject.memory);
        server.watch(start, start + kBytes);
        server.add({start, start + kBytes, 0, 0});
        server.start();
    }
};

/// Serves a subject that does `body` before, beside, or after the filling.
void serve(const std::function<bool(char *)> &body, useconds_t before, bool fills = true) {
    Served served(body);
    served.subject.go();
    usleep(before);
    if (fills)
        CHECK(served.server.fill() <= 2 * kBytes);
    CHECK(served.subject.status() == 0);
}

void givesWhatIsWanted() {
    serve([](char *memory) { return holds(memory, 0, kPages, 0); }, 0, false);
    serve([](char *memory) { return holds(memory, 0, kPages, 0); }, 0);
    serve([](char *memory) { return usleep(300000) == 0 && holds(memory, 0, kPages, 0); }, 0);
}

/// All that a program may do to memory of which only a part is there.
bool rearrange(char *memory) {
    if (!holds(memory, 1000, 10, 1000)) // some of it comes
        return false;
    if (madvise(memory + 500 * kPage, 600 * kPage, MADV_DONTNEED) || !isEmpty(memory, 500, 600))
        return false;
    void *other = mmap(nullptr, 1000 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mremap(memory + 2000 * kPage, 1000 * kPage, 1000 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, other) !=
        other)
        return false;
    // What is mapped there now has no past.
    if (mmap(memory + 2000 * kPage, 500 * kPage, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
        !isEmpty(memory, 2000, 500))
        return false;
    pid_t child = fork();
    if (child == 0) {
        memset(memory, 0, kPage);
        _exit(holds(memory, 1, 499, 1) && holds(static_cast<char *>(other), 0, 1000, 2000) &&
                      isEmpty(memory, 500, 600) && holds(memory, 3000, 1096, 3000)
                  ? 0
                  : 1);
    }
    int status = -1;
    return holds(memory, 0, 500, 0) && waitpid(child, &status, 0) == child && status == 0 &&
           holds(memory, 1100, 900, 1100) && holds(static_cast<char *>(other), 0, 1000, 2000) &&
           isEmpty(memory, 500, 600) && holds(memory, 3000, 1096, 3000);
}

void followsChanges() {
    serve(rearrange, 0, false);
    for (useconds_t before : {0, 500, 2000, 8000})
        serve(rearrange, before);
}

void endsWithTheProcess() {
    serve([](char *memory) { return holds(memory, 0, 10, 0); }, 50000); // ended before the filling
    Served served([](char *) { return pause() != 0; });
    served.subject.go();
    kill(served.subject.pid, SIGKILL);
    served.server.fill();
}

void noticesACutFile() {
    Served served([](char *memory) { return holds(memory, 0, kPages, 0); });
    CHECK(ftruncate(served.files[0].fd.get(), 100 * kPage) == 0);
    throwsCode("images", [&] { served.server.fill(); });
}

/// A stand-in for the engine: serves faults, makes a keeper, and is killed. Nobody must ever see an empty
/// page.
void keeperOutlivesTheEngine() {
    Subject subject([](char *memory) { return isEmpty(memory, 0, kPages); });
    auto start = reinterpret_cast<uint64_t>(subject.memory);
    int ready[2];
    CHECK(pipe2(ready, O_CLOEXEC) == 0);
    pid_t engine = fork();
    if (engine == 0) {
        auto files = pagesFile();
        lazy::enable(subject.userfaultfd.get());
        lazy::Space space(std::move(subject.userfaultfd));
        space.watch(start, start + kBytes);
        lazy::Keeper keeper({subject.pid});
        CHECK(write(ready[1], "r", 1) == 1);
        pause();
    }
    subject.userfaultfd.reset();
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    subject.go();
    usleep(20000); // it waits for its first page
    kill(engine, SIGKILL);
    waitpid(engine, nullptr, 0);
    CHECK(subject.status() == SIGKILL);
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"blocks are cut out of what is missing", cutsBlocks},
                     {"ranges are erased in the middle of others", erasesInTheMiddle},
                     {"ranges move over others", movesOverOthers},
                     {"a process gets what it waits for, and the rest", givesWhatIsWanted},
                     {"forks, moves and discarded memory are followed", followsChanges},
                     {"a process may end at any time", endsWithTheProcess},
                     {"a file that is cut off meanwhile is noticed", noticesACutFile},
                     {"the keeper kills when the engine is killed", keeperOutlivesTheEngine}},
                    argc, argv);
}
