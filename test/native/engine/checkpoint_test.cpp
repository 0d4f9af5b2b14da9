// SPDX-License-Identifier: Apache-2.0
// Checkpoints of real processes: every image is held against the memory of the frozen processes. CRIU's part
// is played: its dump has no pages of its own.
#include "image/pagemap.hpp"
#include "proc/processes.hpp"
#include "source_overlay.hpp"
#include "source_targets.hpp"

using namespace sourcetest;

namespace {

Json call(Session &session, const std::string &command, const Json &arguments = Json::object()) {
    return session.handle(command, Json::parse(arguments.dump()));
}

/// PCLIVE_TEST_TRACKER=soft-dirty, on a kernel that has it: the same for the other tracker.
std::string usualTracker() {
    const char *wanted = std::getenv("PCLIVE_TEST_TRACKER");
    return wanted ? wanted : "uffd";
}

/// Larger than any mapping of the targets; to read the page maps of a sanitizer's would take minutes.
constexpr uint64_t kMostCompared = 16ull << 30;

using Page = std::array<uint8_t, wire::kPageSize>;
using Memory = std::map<uint64_t, Page>;

/// An image's pages by process, those of its parents included.
class Image {
  public:
    Image() = default;
    Image(std::string dir, const Image &parent) : dir_(std::move(dir)) {
        for (const auto &entry : std::filesystem::directory_iterator(dir_)) {
            auto name = entry.path().filename().string();
            uint32_t vpid = 0;
            if (std::sscanf(name.c_str(), "pagemap-%u.img", &vpid) == 1)
                read(name, vpid, parent);
        }
    }
    [[nodiscard]] const Memory &memory(pid_t pid) const { return memory_.at(static_cast<uint32_t>(pid)); }
    uint64_t pages = 0, inParent = 0;

  private:
    void read(const std::string &name, uint32_t vpid, const Image &parent) {
        std::stringstream text;
        text << std::ifstream(dir_ + "/" + name).rdbuf();
        auto pagemap = image::decodePagemap(text.str(), name);
        std::ifstream contents(dir_ + "/pages-" + std::to_string(pagemap.pagesId) + ".img");
        auto &memory = memory_[vpid];
        for (const auto &entry : pagemap.entries)
            for (uint64_t page = 0; page < entry.pages; page++) {
                uint64_t at = entry.start + page * wire::kPageSize;
                if (entry.flags & image::kInParent) {
                    memory[at] = parent.memory_.at(vpid).at(at);
                    inParent++;
                } else {
                    contents.read(reinterpret_cast<char *>(memory[at].data()), wire::kPageSize);
                    check(contents.good(), "the pages image is long enough");
                    pages++;
                }
            }
    }
    std::string dir_;
    std::map<uint32_t, Memory> memory_;
};

class Checkpoint {
  public:
    Checkpoint(const Cgroup &cgroup, pid_t init, const std::string &tracker)
        : session(makeCheckpointSession(events)), cgroup_(cgroup), overlay_(scratch.path("dump.sock")) {
        call(*session, "begin",
             {{"initPid", init},
              {"cgroupProcs", {cgroup.procs()}},
              {"tracker", tracker},
              {"overlaySocket", overlay_},
              {"spool", scratch.path()}});
    }
    ~Checkpoint() { session->abort(); }

    /// Freezes, takes the image, compares, thaws. The pages written.
    const Image &take(bool withParent = false) {
        Overlay overlay(overlay_);
        events.wait("dump-held");
        cgroup_.freeze();
        call(*session, "final");
        events.wait("snapshotted");
        call(*session, "dump-go");
        overlay.awaitGo();
        auto skeleton = makeSkeleton(), to = scratch.path("image" + std::to_string(++count_));
        std::filesystem::create_directory(to);
        Json arguments{{"skeleton", skeleton}, {"to", to}, {"direct", count_ % 2 == 0}};
        if (withParent)
            arguments["parent"] = "../image" + std::to_string(count_ - 1);
        call(*session, "write", arguments);
        last_ = Image(to, last_);
        for (pid_t pid : pidsOf(cgroup_))
            if (!sharesMemoryWithParent(pid)) // it has no memory of its own between vfork and exec
                compare(pid, overlay.ask(pid));
        cgroup_.thaw();
        return last_;
    }

    testing::Recorder events;
    testing::TempDir scratch;
    std::unique_ptr<Session> session;

  private:
    [[nodiscard]] std::string makeSkeleton() const {
        auto dir = scratch.path("skeleton" + std::to_string(count_));
        std::filesystem::create_directory(dir);
        std::ofstream(dir + "/inventory.img") << "inventory";
        uint32_t id = 0;
        for (pid_t pid : pidsOf(cgroup_)) {
            std::ofstream(dir + "/pagemap-" + std::to_string(pid) + ".img")
                << image::encodePagemap({++id, {}});
            std::ofstream(dir + "/pages-" + std::to_string(id) + ".img");
        }
        return dir;
    }

    /// Every page of every handled mapping, and not one more.
    void compare(pid_t pid, const std::set<uint64_t> &handled) const {
        static const Page zeros{};
        RealMemory real(pid);
        const auto &copy = last_.memory(pid);
        uint64_t matched = 0;
        for (auto [start, end] : boundsOf(pid)) {
            if (!handled.contains(start))
                continue;
            if (end - start > kMostCompared) { // of the sanitizer
                matched +=
                    static_cast<uint64_t>(std::distance(copy.lower_bound(start), copy.lower_bound(end)));
                continue;
            }
            real.eachPage(start, end, [&](uint64_t at, const uint8_t *contents) {
                auto found = copy.find(at);
                bool empty = !contents || !memcmp(contents, zeros.data(), zeros.size());
                check(empty || found != copy.end(), "page " + hex(at) + " is missing in the image");
                matched += found != copy.end();
                check(found == copy.end() ||
                          !memcmp(contents ? contents : zeros.data(), found->second.data(), zeros.size()),
                      "page " + hex(at) + " has other contents in the image");
            });
        }
        check(matched == copy.size(),
              std::to_string(copy.size() - matched) + " pages of the image are not there");
    }

    const Cgroup &cgroup_;
    std::string overlay_;
    Image last_;
    int count_ = 0;
};

/// One change at a time, and an image after each, the later ones upon the one before.
void stepByStep(const std::string &tracker) {
    Cgroup cgroup;
    Target target("steps", &cgroup);
    Checkpoint checkpoint(cgroup, target.pid(), tracker);
    bool still = tracker == "none", first = true;
    std::map<std::string, uint64_t> written;
    for (const char *step :
         {"fill",      "nothing",   "write", "zero",    "dontneed", "dontneed-read", "huge",
          "huge-read", "unmap-map", "move",  "protect", "guard",    "grow",          "sparse",
          "heap",      "shrink",    "exec",  "nothing", "fill",     "dontneed",      "ramps"}) {
        target.say(std::string(step) + "\n");
        check(target.line() == step, std::string("the target does ") + step);
        try {
            if (!still)
                call(*checkpoint.session, "round");
            written[step] = checkpoint.take(!still && !first).pages;
        } catch (const std::exception &error) {
            throw std::runtime_error(std::string("after ") + step + ": " + error.what());
        }
        first = false;
    }
#ifndef __SANITIZE_ADDRESS__ // whose own memory changes at its will
    check(still || (written["nothing"] == 0 && written["write"] == 100),
          "unchanged pages are left to the parent: " + std::to_string(written["nothing"]) + " " +
              std::to_string(written["write"]));
#endif
}

/// Rounds while everything changes at random; an image, and two more upon it.
void chaos(const std::string &mode) {
    Cgroup cgroup;
    Target target(mode, &cgroup);
    Checkpoint checkpoint(cgroup, target.pid(), usualTracker());
    for (int image = 0; image < 3; image++) {
        for (int i = 0; i < 6; i++) {
            call(*checkpoint.session, "round");
            std::this_thread::sleep_for(std::chrono::milliseconds(20 + 17 * (i % 5)));
        }
        const auto &taken = checkpoint.take(image > 0);
        std::printf("# %s: %llu pages, %llu in the parent\n", mode.c_str(),
                    static_cast<unsigned long long>(taken.pages),
                    static_cast<unsigned long long>(taken.inParent));
    }
    call(*checkpoint.session, "detach");
    check(readProc(target.pid(), "smaps").find(" uw") == std::string::npos, "nothing is tracked any more");
}

std::string codeOf(Session &session, const char *command, const Json &arguments = Json::object()) {
    try {
        call(session, command, arguments);
    } catch (const Error &error) {
        return error.code();
    }
    return "none";
}

void wrongOrder() {
    testing::Recorder events;
    auto session = makeCheckpointSession(events);
    for (const char *command : {"round", "dirty", "final", "write", "dump-go"})
        check(codeOf(*session, command, {{"skeleton", "/"}, {"to", "/"}}) == "wrong-state",
              std::string(command) + " needs begin");
    check(codeOf(*session, "files") == "unknown-command", "what only a source does");
    check(codeOf(*session, "begin", {{"overlaySocket", "/x"}, {"initPid", 1}, {"cgroupProcs", "x"}}) ==
              "invalid",
          "fields are checked");
    Cgroup cgroup;
    Target target("steps", &cgroup);
    Checkpoint checkpoint(cgroup, target.pid(), "none");
    check(codeOf(*checkpoint.session, "round") == "wrong-state", "no rounds without a tracker");
    check(codeOf(*checkpoint.session, "write", {{"skeleton", "/"}, {"to", "/"}}) == "wrong-state",
          "write needs final");
    checkpoint.session->abort();
    check(codeOf(*checkpoint.session, "final") == "aborted", "aborted");
}

/// A write that fails can be repeated, also while the container runs on.
void writtenAgain() {
    Cgroup cgroup;
    Target target("steps", &cgroup);
    Checkpoint checkpoint(cgroup, target.pid(), usualTracker());
    auto to = checkpoint.scratch.path("image");
    call(*checkpoint.session, "final");
    Json arguments{{"skeleton", checkpoint.scratch.path("skeleton")}, {"to", to}};
    check(codeOf(*checkpoint.session, "write", arguments) == "files", "there is no such skeleton");
    std::filesystem::create_directory(checkpoint.scratch.path("skeleton"));
    std::filesystem::create_directory(to);
    check(codeOf(*checkpoint.session, "write", arguments) == "images", "the skeleton is empty");
    auto pid = std::to_string(target.pid());
    std::ofstream(checkpoint.scratch.path("skeleton/inventory.img")) << "inventory";
    std::ofstream(checkpoint.scratch.path("skeleton/pagemap-" + pid + ".img"))
        << image::encodePagemap({1, {}});
    check(codeOf(*checkpoint.session, "write", arguments) == "none" &&
              std::filesystem::exists(to + "/inventory.img"),
          "it is written at last");
}

} // namespace

int main(int argc, char **argv) {
    if (argc == 3 && !std::strcmp(argv[1], "target"))
        _exit(runTarget(argv[2])); // a sanitizer's work at exit is not what is to be kept
    std::string only = argc > 1 ? argv[1] : "";
    test("step by step", only, [] { stepByStep(usualTracker()); });
    test("step by step, standing still", only, [] { stepByStep("none"); });
    test("chaos: threads and mappings", only, [] { chaos("mappings"); });
    test("chaos: fork and exec", only, [] { chaos("families"); });
    test("commands in the wrong order", only, wrongOrder);
    test("a failed write can be repeated", only, writtenAgain);
    return failures ? 1 : 0;
}
