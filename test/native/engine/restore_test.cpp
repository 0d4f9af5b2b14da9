// SPDX-License-Identifier: Apache-2.0
// Reading images, deciding what is staged, the shadow, and bringing pages into another process. The images
// are made here; with CRIU's own, and the whole role, see test/integration/shim/restore-image.test.ts.
#include "restore/chunks.hpp"
#include "restore/loader.hpp"
#include "restore/shadow.hpp"
#include "support/engine_process.hpp"
#include "support/fake_overlay.hpp"
#include "support/image_maker.hpp"
#include "testing.hpp"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace pclive;
using namespace pclive::testing;
using image::kInParent;
using image::kPresent;

namespace {

constexpr uint64_t kPage = 4096, kMiB = 1 << 20;
constexpr uint64_t kHeap = 0x7d0000000000, kHeapPages = 2 * kMiB * 3 / kPage; // three blocks of 2 MiB
constexpr uint64_t kSmall = 0x7d0010000000, kStack = 0x7d0020000000;
constexpr uint32_t kGrowsDown = 0x100;

std::vector<MadeVma> usualVmas() {
    return {{kHeap, kHeap + kHeapPages * kPage, kPlainFlags, kPlainStatus},
            {kSmall, kSmall + 16 * kPage, kPlainFlags, kPlainStatus},
            {kStack, kStack + 256 * kPage, kPlainFlags | kGrowsDown, kPlainStatus}};
}

/// One process with a heap, of which some pages are missing, and what is left to CRIU.
ImageFiles usualImage() {
    ImageFiles files;
    addInventory(files);
    addTree(files, {{7, 0}});
    addCore(files, 7, ownMachine());
    addMm(files, 7, usualVmas());
    image::Pagemap pagemap{1,
                           {{kHeap, 700, kPresent},
                            {kHeap + 800 * kPage, kHeapPages - 800, kPresent},
                            {kSmall, 3, kPresent},
                            {kStack + 200 * kPage, 56, kPresent}}};
    addPages(files, 7, pagemap, noise((kHeapPages - 100 + 3 + 56) * kPage, 1));
    files["files.img"] = "not looked at";
    return files;
}

struct Opened {
    explicit Opened(const std::string &path) : layers(path), processes(restore::readProcesses(layers.top())) {
        layers.check();
        plan = restore::makePlan(layers, processes);
    }
    restore::Layers layers;
    std::vector<restore::ProcessImage> processes;
    restore::Plan plan;
};

std::string readExtent(const restore::Layers &layers, const restore::Extent &extent) {
    std::string bytes(extent.size, '\0');
    const auto &file = layers.files()[extent.file];
    restore::readAt(file.fd.get(), bytes.data(), bytes.size(), extent.offset, file.path);
    return bytes;
}

void plansHeapOnly() {
    TempDir dir;
    writeImage(dir.path(), usualImage());
    Opened opened(dir.path());
    CHECK(opened.plan.count == 1 && opened.plan.processes.size() == 1);
    const auto &process = opened.plan.processes[0];
    CHECK(process.vpid == 7 && process.areas.size() == 1 && process.areas[0].start == kHeap);
    CHECK(process.extents.size() == 2 && process.extents[0].size == 700 * kPage);
    CHECK(process.left.size() == 2 && process.left[0].start == kSmall && process.left[1].pages == 56);
    CHECK(opened.plan.stagedBytes == (kHeapPages - 100) * kPage);
    CHECK(opened.plan.pages == kHeapPages - 100 + 3 + 56);
    CHECK(!opened.layers.summed());
}

void leavesCopiesToCriu() {
    TempDir dir;
    ImageFiles files = usualImage();
    addTree(files, {{7, 0}, {8, 7}});
    addMm(files, 8, usualVmas());
    addPages(files, 8, {2, {{kHeap, 1000, kPresent}}}, noise(1000 * kPage, 2));
    writeImage(dir.path(), files);
    CHECK(Opened(dir.path()).plan.processes.empty());
    addMm(files, 8, usualVmas(), 99); // another program: no copies
    writeImage(dir.path(), files);
    CHECK(Opened(dir.path()).plan.processes.size() == 2);
}

/// Three generations; the youngest has the even pages, the next every fourth, the oldest all.
void resolvesParents() {
    TempDir dir;
    std::filesystem::create_directories(dir.path("one"));
    std::filesystem::create_directories(dir.path("two"));
    std::filesystem::create_directories(dir.path("three"));
    std::filesystem::create_directory_symlink("../one", dir.path("two/parent"));
    std::filesystem::create_directory_symlink("../two", dir.path("three/parent"));
    ImageFiles files = usualImage();
    std::string oldest = noise(kHeapPages * kPage, 10), wanted = oldest;
    addPages(files, 7, {1, {{kHeap, kHeapPages, kPresent}}}, oldest);
    writeImage(dir.path("one"), files);
    for (uint64_t step : {4, 2}) {
        image::Pagemap pagemap{1, {}};
        std::string pages;
        for (uint64_t page = 0; page < kHeapPages; page++) {
            bool here = page % step == 0;
            pagemap.entries.push_back({kHeap + page * kPage, 1, here ? kPresent : kInParent});
            if (!here)
                continue;
            std::string contents = noise(kPage, page * 100 + step);
            wanted.replace(page * kPage, kPage, contents);
            pages += contents;
        }
        addPages(files, 7, pagemap, pages);
        writeImage(dir.path(step == 4 ? "two" : "three"), files);
    }
    Opened opened(dir.path("three"));
    CHECK(opened.layers.count() == 3);
    std::string found;
    for (const auto &extent : opened.plan.processes.at(0).extents)
        found += readExtent(opened.layers, extent);
    CHECK(found == wanted);
}

void refusesBadParents() {
    TempDir dir;
    std::filesystem::create_directories(dir.path("one"));
    std::filesystem::create_directory_symlink("../one", dir.path("one/parent"));
    writeImage(dir.path("one"), usualImage());
    throwsCode("images", [&] { Opened opened(dir.path("one")); });
    std::filesystem::remove(dir.path("one/parent"));
    std::filesystem::create_directory_symlink("../gone", dir.path("one/parent"));
    throwsCode("images", [&] { Opened opened(dir.path("one")); });
    std::filesystem::remove(dir.path("one/parent"));
    ImageFiles files = usualImage();
    addPages(files, 7, {1, {{kHeap, 700, kInParent}}}, "");
    writeImage(dir.path("one"), files);
    CHECK(throwsCode("images", [&] { Opened opened(dir.path("one")); }).find("parent") != std::string::npos);
}

/// Each of these must be refused by an error that names `file`.
void refuses(const ImageFiles &files, const std::string &file, const std::string &code = "images") {
    TempDir dir;
    writeImage(dir.path(), files);
    std::string text = throwsCode(code, [&] { Opened opened(dir.path()); });
    if (text.find(file) == std::string::npos)
        failCheck("the error names the file", __FILE__, __LINE__, text);
}

void refusesDamaged() {
    for (const char *name : {"inventory.img", "pstree.img", "core-7.img", "mm-7.img", "pagemap-7.img"}) {
        ImageFiles files = usualImage();
        files[name].pop_back();
        refuses(files, name);
        files = usualImage();
        files[name][0] ^= 1;
        refuses(files, name);
    }
    ImageFiles files = usualImage();
    files["pages-1.img"].pop_back();
    refuses(files, "pages-1.img");
    files.erase("pages-1.img");
    refuses(files, "pages-1.img");
    files = usualImage();
    addMm(files, 7, {usualVmas()[1], usualVmas()[0]});
    refuses(files, "mm-7.img");
    files = usualImage();
    addTree(files, {{7, 0}, {7, 0}});
    refuses(files, "pstree.img");
}

void refusesForeign() {
    ImageFiles files = usualImage();
    addInventory(files, 3);
    refuses(files, "inventory.img");
    addInventory(files, 1);
    refuses(files, "inventory.img", "unsupported");
    files = usualImage();
    addCore(files, 7, ownMachine() == 1 ? 3 : 1);
    refuses(files, "core-7.img");
}

void refusesWrongSums() {
    ImageFiles good = usualImage();
    addSums(good, kMiB);
    TempDir dir;
    writeImage(dir.path(), good);
    CHECK(Opened(dir.path()).layers.summed());
    for (const char *name : {"files.img", "pstree.img", "mm-7.img", "core-7.img", "pagemap-7.img"}) {
        ImageFiles files = good;
        files[name].back() ^= 4;
        refuses(files, name);
    }
    ImageFiles files = good;
    files["pages-1.img"] += "x";
    refuses(files, "pages-1.img");
    files = good;
    files.erase("files.img");
    std::filesystem::remove(dir.path("files.img"));
    throwsCode("images", [&] { Opened opened(dir.path()); });
    for (const char *text :
         {"", "{", "[]", "{\"version\":1}", "{\"version\":1,\"files\":{\"../x\":{}},\"pages\":{}}"}) {
        files = good;
        files["pclive.json"] = text;
        if (*text)
            refuses(files, "pclive.json");
    }
}

void shadowHasTheRest() {
    TempDir dir;
    std::filesystem::create_directories(dir.path("image"));
    std::filesystem::create_directories(dir.path("shadow"));
    writeImage(dir.path("image"), usualImage());
    Opened opened(dir.path("image"));
    restore::writeShadow(dir.path("shadow"), opened.layers.top(), opened.plan);
    namespace fs = std::filesystem;
    CHECK(fs::read_symlink(dir.path("shadow/files.img")) == "../image/files.img");
    CHECK(fs::read_symlink(dir.path("shadow/parent")) == "../image");
    CHECK(!fs::is_symlink(dir.path("shadow/pagemap-7.img")));
    // Read as CRIU reads it: what is left, from the parent.
    restore::Layers shadow(dir.path("shadow"));
    auto pages = shadow.pagesOf(7);
    restore::Layers whole(dir.path("image"));
    auto all = whole.pagesOf(7);
    CHECK(pages && pages->extents.size() == 2 && pages->extents[0].address == kSmall);
    CHECK(all && all->extents.size() == 4 && pages->extents[0].offset == all->extents[2].offset);
}

/// A child with memory at kHeap, and a few bytes more on both sides.
class Child {
  public:
    Child() {
        pid_ = fork();
        CHECK(pid_ >= 0);
        if (pid_ == 0) {
            if (mmap(reinterpret_cast<void *>(kHeap), kHeapPages * kPage, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
                _exit(1);
            for (;;)
                pause();
        }
        usleep(100000);
    }
    ~Child() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    [[nodiscard]] std::string memory() const {
        std::string bytes(kHeapPages * kPage, '\0');
        iovec here{bytes.data(), bytes.size()}, there{reinterpret_cast<void *>(kHeap), bytes.size()};
        CHECK(process_vm_readv(pid_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes.size()));
        return bytes;
    }
    [[nodiscard]] pid_t pid() const { return pid_; }

  private:
    pid_t pid_;
};

/// An image that is about to be loaded into a child.
struct Loading {
    explicit Loading(const ImageFiles &files) { writeImage(dir.path(), files); }

    TempDir dir;
    Child child;
    std::optional<Opened> opened;
    restore::Chunks chunks;
    std::optional<restore::Loader> loader;

    restore::Loader &open() {
        opened.emplace(dir.path());
        pclo_area area{7, 0, kHeap, kHeap + kHeapPages * kPage, kHeap};
        chunks = restore::makeChunks(opened->layers, opened->plan, {&area, 1});
        return loader.emplace(opened->layers, chunks, child.pid(), 2);
    }
};

void loadsPages() {
    for (uint64_t chunk : {0, 512 << 10, 500001}) { // none; of whole pages; not
        ImageFiles files = usualImage();
        if (chunk)
            addSums(files, chunk);
        Loading loading(files);
        auto &loader = loading.open();
        loader.run();
        CHECK(loader.bytes() == loading.opened->plan.stagedBytes);
        const std::string &pages = files["pages-1.img"], memory = loading.child.memory();
        CHECK(memory.compare(0, 700 * kPage, pages, 0, 700 * kPage) == 0);
        CHECK(memory.substr(700 * kPage, 100 * kPage) == std::string(100 * kPage, '\0'));
        CHECK(memory.compare(800 * kPage, std::string::npos, pages, 700 * kPage,
                             (kHeapPages - 800) * kPage) == 0);
    }
}

void noticesAFlippedBit() {
    ImageFiles files = usualImage();
    addSums(files, 512 << 10);
    const size_t size = files["pages-1.img"].size();
    for (size_t at : {size_t(0), 3 * kMiB + 5, size - 1}) { // the last is of what CRIU reads
        files["pages-1.img"][at] ^= 0x10;
        Loading loading(files);
        files["pages-1.img"][at] ^= 0x10;
        auto &loader = loading.open();
        std::string text = throwsCode("images", [&] { loader.run(); });
        CHECK(text.find("pages-1.img") != std::string::npos);
    }
}

void noticesAFileThatIsCutOffMeanwhile() {
    Loading loading(usualImage());
    auto &loader = loading.open();
    std::filesystem::resize_file(loading.dir.path("pages-1.img"), 10 * kPage);
    std::string text = throwsCode("images", [&] { loader.run(); });
    CHECK(text.find("ends too early") != std::string::npos);
}

void survivesTheEndOfCriu() {
    Loading loading(usualImage());
    auto &loader = loading.open();
    kill(loading.child.pid(), SIGKILL);
    usleep(50000);
    throwsCode("overlay-lost", [&] { loader.run(); });
}

/// The role as a process, beside something that speaks as CRIU does.
struct Role {
    Role() {
        std::filesystem::create_directories(dir.path("image"));
        std::filesystem::create_directories(dir.path("shadow"));
    }
    Json begin() {
        return engine.request("begin", {{"imageDir", dir.path("image")},
                                        {"shadowDir", dir.path("shadow")},
                                        {"overlaySocket", dir.path("sock")}});
    }
    TempDir dir;
    EngineProcess engine{"restore"};
};

void restoresByTheRole() {
    Role role;
    ImageFiles files = usualImage();
    addSums(files, kMiB);
    writeImage(role.dir.path("image"), files);
    Json begun = role.begin();
    CHECK(begun["verified"] == true && begun["processes"] == 1);
    FakeOverlay criu(role.dir.path("sock"));
    auto areas = criu.waitGo();
    CHECK(areas.size() == 1 && areas[0].vpid == 7 && areas[0].start == kHeap);
    CHECK(role.engine.events.wait("go")["bytes"] == (kHeapPages - 100) * kPage);
    std::string memory(700 * kPage, '\0');
    criu.read(memory.data(), areas[0].staged, memory.size());
    CHECK(files["pages-1.img"].compare(0, memory.size(), memory) == 0);
    criu.hold();
    role.engine.events.wait("held");
    role.engine.events.wait("released"); // by itself
    CHECK(role.engine.finish() == 0);
}

void roleRefusesAFlippedBit() {
    Role role;
    ImageFiles files = usualImage();
    addSums(files, kMiB);
    files["pages-1.img"][99] ^= 1;
    writeImage(role.dir.path("image"), files);
    role.begin();
    FakeOverlay criu(role.dir.path("sock"));
    Json error = role.engine.events.wait("error");
    CHECK(error["code"] == "images");
    CHECK(error["message"].get<std::string>().find("pages-1.img") != std::string::npos);
    CHECK(!role.engine.events.has("go"));
    CHECK(role.engine.finish() == 0);
}

void roleNoticesTheEndOfCriu() {
    Role role;
    writeImage(role.dir.path("image"), usualImage());
    role.begin();
    FakeOverlay criu(role.dir.path("sock"));
    criu.waitGo();
    criu.kill();
    CHECK(role.engine.events.wait("error")["code"] == "overlay-lost");
    CHECK(role.engine.finish() == 0);
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"the heap is staged, the rest is left", plansHeapOnly},
                     {"copies since a fork are left to CRIU", leavesCopiesToCriu},
                     {"pages are found in the parents", resolvesParents},
                     {"parents that lead nowhere or back are refused", refusesBadParents},
                     {"damaged files are named", refusesDamaged},
                     {"images of other machines and times are refused", refusesForeign},
                     {"sums are held against the files", refusesWrongSums},
                     {"the shadow has the rest", shadowHasTheRest},
                     {"pages are loaded", loadsPages},
                     {"a flipped bit is noticed", noticesAFlippedBit},
                     {"a file that is cut off meanwhile is noticed", noticesAFileThatIsCutOffMeanwhile},
                     {"the end of CRIU is noticed", survivesTheEndOfCriu},
                     {"the role restores", restoresByTheRole},
                     {"the role refuses a flipped bit", roleRefusesAFlippedBit},
                     {"the role notices the end of CRIU", roleNoticesTheEndOfCriu}},
                    argc, argv);
}
