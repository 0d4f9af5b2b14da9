// SPDX-License-Identifier: Apache-2.0
#include "restore/processes.hpp"

#include "protocol.h"
#include "restore/messages.hpp"
#include "wire/frames.hpp"
#include <set>

namespace pclive::restore {
namespace {

using wire::kMaxAddress;
using wire::kPageSize;

constexpr uint32_t kOldVersion = 1, kVersion = 2; // of the image format; 1 has no common magic
constexpr uint32_t kGuard = 1u << 16;             // status of a guard range inside of another mapping
constexpr uint32_t kMaxPid = 1u << 22;

// Machines as CRIU counts them.
struct Machine {
    uint64_t number;
    const char *name;
};
constexpr Machine kMachines[] = {{1, "x86_64"}, {2, "arm"},  {3, "aarch64"},     {4, "ppc64"},
                                 {5, "s390x"},  {6, "mips"}, {7, "loongarch64"}, {8, "riscv64"}};
#if defined(__x86_64__)
constexpr uint64_t kOurs = 1;
#elif defined(__aarch64__)
constexpr uint64_t kOurs = 3;
#else
constexpr uint64_t kOurs = 0;
#endif

const char *machineName(uint64_t number) {
    for (const auto &machine : kMachines)
        if (machine.number == number)
            return machine.name;
    return "unknown";
}

void checkInventory(const ImageDirectory &directory) {
    MessageFile file(directory, "inventory.img", kInventoryMagic);
    Fields fields(file.need(), file.name());
    uint64_t version = 0;
    for (Field field; fields.next(field);)
        if (field.number == 1)
            version = field.value;
    if (version == kOldVersion)
        throw unsupported(file.name(), "the image is of a very old CRIU");
    if (version != kVersion)
        throw Error("images",
                    file.name() + " says image format " + std::to_string(version) +
                        "; this CRIU knows format " + std::to_string(kVersion) + " only",
                    "restore it with the CRIU that wrote it, or a newer one");
}

void checkMachine(const ImageDirectory &directory, uint32_t pid) {
    MessageFile file(directory, "core-" + std::to_string(pid) + ".img", kCoreMagic);
    Fields fields(file.need(), file.name());
    uint64_t machine = 0;
    for (Field field; fields.next(field);)
        if (field.number == 1)
            machine = field.value;
    if (kOurs && machine != kOurs)
        throw Error("images",
                    file.name() + " is of a process on " + machineName(machine) + "; this host is " +
                        machineName(kOurs),
                    "restore it on a host of its own architecture");
}

ProcessImage decodeProcess(std::string_view message, const std::string &name) {
    ProcessImage process{0, 0, {}};
    Fields fields(message, name);
    for (Field field; fields.next(field);) {
        if (field.number == 1)
            process.pid = static_cast<uint32_t>(field.value);
        if (field.number == 2)
            process.parent = static_cast<uint32_t>(field.value);
    }
    if (process.pid == 0 || process.pid > kMaxPid || process.parent > kMaxPid)
        throw damaged(name, "it names a process that cannot be");
    return process;
}

std::vector<ProcessImage> readTree(const ImageDirectory &directory) {
    MessageFile file(directory, "pstree.img", kPstreeMagic);
    std::vector<ProcessImage> processes;
    std::set<uint32_t> seen;
    for (std::string_view message; file.next(message);) {
        processes.push_back(decodeProcess(message, file.name()));
        const auto &process = processes.back();
        if (processes.size() > wire::kMaxProcesses)
            throw damaged(file.name(), "it has too many processes");
        if (!seen.insert(process.pid).second)
            throw damaged(file.name(), "it names a process twice");
    }
    if (processes.empty())
        throw damaged(file.name(), "it names no process");
    return processes;
}

Vma decodeVma(std::string_view message, const std::string &name) {
    Vma vma{};
    Fields fields(message, name);
    for (Field field; fields.next(field);) {
        switch (field.number) {
        case 1:
            vma.start = field.value;
            break;
        case 2:
            vma.end = field.value;
            break;
        case 4:
            vma.shmid = field.value;
            break;
        case 5:
            vma.prot = static_cast<uint32_t>(field.value);
            break;
        case 6:
            vma.flags = static_cast<uint32_t>(field.value);
            break;
        case 7:
            vma.status = static_cast<uint32_t>(field.value);
            break;
        default:
            break;
        }
    }
    return vma;
}

/// The vsyscall page lies outside of what a process can map.
void checkVma(const Vma &vma, const std::vector<Vma> &before, const std::string &name) {
    bool special = vma.status & PCLO_VMA_VSYSCALL;
    if (vma.start >= vma.end || vma.start % kPageSize || vma.end % kPageSize ||
        (!special && vma.end > kMaxAddress))
        throw damaged(name, "a mapping lies where none can be");
    if (!before.empty() && before.back().end > vma.start)
        throw damaged(name, "mappings are out of order");
}

Mm readMm(const ImageDirectory &directory, uint32_t pid) {
    MessageFile file(directory, "mm-" + std::to_string(pid) + ".img", kMmMagic);
    Mm mm;
    Fields fields(file.need(), file.name());
    for (Field field; fields.next(field);) {
        if (field.number == 12)
            mm.exeFileId = static_cast<uint32_t>(field.value);
        if (field.number != 14 || !field.hasBytes)
            continue;
        Vma vma = decodeVma(field.bytes, file.name());
        if (vma.status & kGuard)
            continue;
        checkVma(vma, mm.vmas, file.name());
        if (mm.vmas.size() == wire::kMaxAreas)
            throw damaged(file.name(), "it has too many mappings");
        mm.vmas.push_back(vma);
    }
    return mm;
}

} // namespace

std::vector<ProcessImage> readProcesses(const ImageDirectory &directory) {
    checkInventory(directory);
    auto processes = readTree(directory);
    for (auto &process : processes) {
        if (directory.has("core-" + std::to_string(process.pid) + ".img"))
            checkMachine(directory, process.pid);
        if (directory.has("mm-" + std::to_string(process.pid) + ".img"))
            process.mm = readMm(directory, process.pid);
    }
    return processes;
}

} // namespace pclive::restore
