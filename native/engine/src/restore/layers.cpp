// SPDX-License-Identifier: Apache-2.0
#include "restore/layers.hpp"

#include "restore/messages.hpp"
#include "wire/frames.hpp"
#include <algorithm>

namespace pclive::restore {
namespace {

using image::kInParent;
using image::kPresent;
using image::Pagemap;
using image::PagemapEntry;
using wire::kPageSize;

constexpr const char *kPagemapPrefix = "pagemap-";

std::string pagesName(uint32_t id) {
    return "pages-" + std::to_string(id) + ".img";
}

uint64_t endOf(const PagemapEntry &entry) {
    return entry.start + entry.pages * kPageSize;
}

void checkOrder(const Pagemap &pagemap, const std::string &path) {
    for (size_t i = 1; i < pagemap.entries.size(); i++)
        if (endOf(pagemap.entries[i - 1]) > pagemap.entries[i].start)
            throw damaged(path, "pages are out of order");
}

} // namespace

Layers::Layers(const std::string &path) {
    layers_.push_back({ImageDirectory(path), {}});
    while (layers_.back().directory.hasParent()) {
        ImageDirectory parent = layers_.back().directory.parent();
        bool loop = std::any_of(layers_.begin(), layers_.end(),
                                [&](const Layer &layer) { return layer.directory.isSame(parent); });
        if (loop || layers_.size() == kMaxLayers)
            throw Error("images",
                        parent.path() + ": the chain of parents " +
                            (loop ? "leads back to itself" : "is longer than " + std::to_string(kMaxLayers)));
        layers_.push_back({std::move(parent), {}});
    }
    for (auto &layer : layers_)
        layer.sums = readSums(layer.directory);
}

bool Layers::summed() const {
    return std::all_of(layers_.begin(), layers_.end(), [](const Layer &layer) { return layer.sums; });
}

void Layers::check() {
    for (size_t i = 0; i < layers_.size(); i++) {
        if (layers_[i].sums)
            checkFiles(layers_[i].directory, *layers_[i].sums);
        for (const auto &name : layers_[i].directory.names())
            if (name.starts_with(kPagemapPrefix) && name.ends_with(".img"))
                map(i, name);
    }
}

size_t Layers::pagesFile(size_t layer, uint32_t id) {
    auto [found, isNew] = byId_.try_emplace({layer, id}, files_.size());
    if (!isNew)
        return found->second;
    const auto &[directory, sums] = layers_[layer];
    std::string name = pagesName(id);
    uint64_t size;
    Fd fd = directory.open(name, size);
    const PagesSums *known = nullptr;
    if (sums) {
        auto entry = sums->pages.find(name);
        if (entry == sums->pages.end())
            throw damaged(directory.pathOf(kSumsName), "it has no check sums for " + name);
        known = &entry->second;
        if (known->bytes != size)
            throw damaged(directory.pathOf(name), "it has not the size that it was written with");
    }
    files_.push_back({std::move(fd), size, name, directory.pathOf(name), known});
    return found->second;
}

/// Null when the layer has none.
const Layers::Map *Layers::map(size_t layer, const std::string &name) {
    auto &slot = maps_[{layer, name}];
    const ImageDirectory &directory = layers_[layer].directory;
    if (slot || !directory.has(name))
        return slot.get();
    auto result = std::make_unique<Map>();
    std::string path = directory.pathOf(name);
    result->pagemap = image::decodePagemap(directory.readWhole(name), path);
    checkOrder(result->pagemap, path);
    uint64_t offset = 0;
    for (const auto &entry : result->pagemap.entries) {
        result->offsets.push_back(offset);
        if (entry.flags & kPresent)
            offset += entry.pages * kPageSize;
    }
    result->file = pagesFile(layer, result->pagemap.pagesId);
    const PagesFile &pages = files_[result->file];
    if (pages.size < offset)
        throw damaged(pages.path, "it has " + std::to_string(pages.size) + " bytes, and its pagemap wants " +
                                      std::to_string(offset));
    slot = std::move(result);
    return slot.get();
}

void Layers::add(const Map &map, size_t entry, uint64_t start, uint64_t end, ProcessPages &pages) {
    uint64_t offset = map.offsets[entry] + (start - map.pagemap.entries[entry].start);
    if (!pages.extents.empty()) {
        Extent &last = pages.extents.back();
        if (last.file == map.file && last.address + last.size == start && last.offset + last.size == offset) {
            last.size += end - start;
            return;
        }
    }
    pages.extents.push_back({start, end - start, offset, map.file});
}

/// Adds what this layer, or those below, has of [start, end): all of it.
void Layers::resolve(const std::string &name, size_t layer, uint64_t start, uint64_t end,
                     ProcessPages &pages) {
    const Map *here = layer < layers_.size() ? map(layer, name) : nullptr;
    if (!here)
        throw damaged(layers_[layer - 1].directory.pathOf(name),
                      "it says that pages are in the parent, which has no " + name);
    const auto &entries = here->pagemap.entries;
    auto at = std::upper_bound(entries.begin(), entries.end(), start,
                               [](uint64_t address, const auto &entry) { return address < entry.start; });
    if (at != entries.begin())
        --at;
    for (; start < end; ++at) {
        if (at == entries.end() || at->start > start || endOf(*at) <= start)
            throw damaged(layers_[layer].directory.pathOf(name), "pages are missing that a child refers to");
        uint64_t part = std::min(end, endOf(*at));
        if (at->flags & kInParent)
            resolve(name, layer + 1, start, part, pages);
        else if (at->flags & kPresent)
            add(*here, static_cast<size_t>(at - entries.begin()), start, part, pages);
        else
            pages.incomplete = true;
        start = part;
    }
}

std::optional<ProcessPages> Layers::pagesOf(uint32_t pid) {
    std::string name = kPagemapPrefix + std::to_string(pid) + ".img";
    const Map *top = map(0, name);
    if (!top)
        return std::nullopt;
    ProcessPages pages{top->pagemap, {}};
    for (const auto &entry : top->pagemap.entries)
        if (entry.pages)
            resolve(name, 0, entry.start, endOf(entry), pages);
    return pages;
}

} // namespace pclive::restore
