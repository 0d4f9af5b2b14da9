// SPDX-License-Identifier: Apache-2.0
#include "image/writer.hpp"
#include "control/parallel.hpp"
#include "control/priority.hpp"
#include "wire/crc32c.hpp"

namespace pclive::image {
namespace {

constexpr const char *kInventory = "inventory.img";
constexpr const char *kInventoryPart = "inventory.img.part";
constexpr uint64_t kMaxPagemapBytes = 1u << 30;
constexpr uint64_t kCopyBytes = 1u << 20;
constexpr size_t kSyncThreads = 4; // they wait for the disk, and share its journal

std::string pagesName(uint32_t id) {
    return "pages-" + std::to_string(id) + ".img";
}

bool isPagesImage(const std::string &name) {
    return name.starts_with("pages-") && name.ends_with(".img");
}

class Writer {
  public:
    Writer(const WriteOptions &options, WriteProgress &progress)
        : options_(options), progress_(progress), skeleton_(options.skeleton), to_(options.to),
          pagesWriter_(skeleton_, to_, options.mode, progress) {}

    WriteTotals write(const std::vector<ProcessPages> &processes) {
        names_ = skeleton_.files();
        if (!has(kInventory))
            throw Error("images", "CRIU's dump is not complete: there is no " + skeleton_.pathOf(kInventory));
        if (!to_.empty())
            throw Error("files", options_.to + " is not empty", "give an empty directory");
        plan(processes);
        checkRoom();
        writeFiles();
        finish();
        return totals();
    }

  private:
    [[nodiscard]] bool has(const std::string &name) const {
        return std::binary_search(names_.begin(), names_.end(), name);
    }

    void plan(const std::vector<ProcessPages> &processes) {
        for (const auto &process : processes)
            if (!process.present.empty())
                planProcess(process);
        for (const auto &name : names_) {
            if (isPagesImage(name) && !sums_.pages.contains(name))
                addPages({name, PagesPlan::copyOf(skeleton_.size(name)), nullptr});
            else if (!isPagesImage(name) && !pagemaps_.contains(name))
                plain_.push_back(name);
        }
        for (const auto &name : plain_)
            sums_.files[name];
        for (const auto &[name, bytes] : pagemaps_)
            sums_.files[name];
    }

    void planProcess(const ProcessPages &process) {
        auto name = "pagemap-" + std::to_string(process.vpid) + ".img";
        if (!has(name))
            throw Error(
                "images",
                "CRIU has not dumped process " + std::to_string(process.vpid) +
                    " of the container: there is no " + skeleton_.pathOf(name),
                "see CRIU's log; a process of the container's cgroup that is no descendant of its init "
                "process must end first");
        auto merged = mergePages(
            decodePagemap(skeleton_.read(name, kMaxPagemapBytes), skeleton_.pathOf(name)), process);
        auto pages = pagesName(merged.pagemap.pagesId);
        uint64_t found = has(pages) ? skeleton_.size(pages) : 0;
        if (found != merged.skeletonBytes || sums_.pages.contains(pages))
            throw Error("images", skeleton_.pathOf(pages) + " does not fit to " + name + ": " +
                                      std::to_string(found) + " bytes instead of " +
                                      std::to_string(merged.skeletonBytes));
        pagemaps_[name] = encodePagemap(merged.pagemap);
        addPages({pages, std::move(merged.plan), process.source});
    }

    void addPages(PagesJob job) {
        sums_.pages[job.name];
        pagesBytes_ += job.plan.bytes;
        (job.plan.bytes > kSumChunk ? large_ : small_).push_back(std::move(job));
    }

    void checkRoom() const {
        uint64_t bytes = pagesBytes_;
        for (const auto &name : plain_)
            bytes += skeleton_.size(name);
        if (bytes > to_.freeBytes())
            throw to_.writeError("the image of " + std::to_string(bytes >> 20) + " MiB", ENOSPC);
    }

    /// Small files side by side, large ones each by several threads.
    void writeFiles() {
        for (const auto &[name, bytes] : pagemaps_) {
            to_.write(name, bytes);
            sums_.files[name] = {bytes.size(), wire::crc32c(0, bytes.data(), bytes.size())};
        }
        parallel(
            plain_.size() + small_.size(), memoryThreads(), [this] { return Niceness(options_.mode.nice); },
            [this](size_t i, Niceness &) {
                if (i < plain_.size())
                    sums_.files.at(plain_[i]) = copy(plain_[i]);
                else
                    sums_.pages.at(small_[i - plain_.size()].name) =
                        pagesWriter_.write(small_[i - plain_.size()], 1);
            });
        for (const auto &job : large_)
            sums_.pages[job.name] = pagesWriter_.write(job, memoryThreads());
    }

    [[nodiscard]] ImageSums::File copy(const std::string &name) const {
        auto from = skeleton_.open(name);
        auto written = name == kInventory ? std::string(kInventoryPart) : name;
        auto to = to_.create(written);
        ImageSums::File sum{skeleton_.size(name), 0};
        std::vector<char> buffer(std::min(sum.bytes, kCopyBytes));
        for (uint64_t at = 0; at < sum.bytes; at += buffer.size()) {
            if (progress_.stopped)
                throw Error("aborted", "the checkpoint was aborted");
            buffer.resize(std::min(sum.bytes - at, kCopyBytes));
            skeleton_.readAt(from.get(), name, buffer.data(), buffer.size(), at);
            sum.crc = wire::crc32c(sum.crc, buffer.data(), buffer.size());
            to_.append(to.get(), written, buffer.data(), buffer.size());
        }
        return sum;
    }

    /// Nothing may get lost once the inventory is there.
    void finish() {
        sums_.criu = options_.criu;
        auto document = encodeSums(sums_);
        to_.write(kSumsFile, document);
        sumsBytes_ = document.size();
        if (options_.parent)
            to_.link("parent", *options_.parent);
        auto written = to_.files();
        parallel(
            written.size(), kSyncThreads, [] { return 0; }, [&](size_t i, int) { to_.sync(written[i]); });
        to_.sync();
        to_.rename(kInventoryPart, kInventory);
        to_.sync();
    }

    [[nodiscard]] WriteTotals totals() const {
        WriteTotals totals{sums_.files.size() + sums_.pages.size() + 1, pagesBytes_ + sumsBytes_,
                           pagesBytes_ / kPageSize};
        for (const auto &[name, file] : sums_.files)
            totals.bytes += file.bytes;
        return totals;
    }

    const WriteOptions &options_;
    WriteProgress &progress_;
    Directory skeleton_, to_;
    PagesWriter pagesWriter_;
    std::vector<std::string> names_;              ///< of the skeleton's files, sorted
    std::vector<std::string> plain_;              ///< those that are copied as they are
    std::map<std::string, std::string> pagemaps_; ///< new contents
    std::vector<PagesJob> small_, large_;
    uint64_t pagesBytes_ = 0, sumsBytes_ = 0;
    ImageSums sums_;
};

} // namespace

WriteTotals writeImage(const WriteOptions &options, const std::vector<ProcessPages> &processes,
                       WriteProgress &progress) {
    return Writer(options, progress).write(processes);
}

} // namespace pclive::image
