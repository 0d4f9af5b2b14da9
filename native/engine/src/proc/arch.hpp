// SPDX-License-Identifier: Apache-2.0
// Everything about a processor that injection must know. Another architecture needs this one file only.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

namespace pclive::arch {

#if defined(__x86_64__)

using Registers = user_regs_struct;
inline constexpr std::array<uint8_t, 2> kSyscallInstruction{0x0f, 0x05};

/// Whether the thread runs code that a 64-bit system call can be injected into: not i386, not x32.
inline bool isNative(const Registers &registers) {
    return registers.cs == 0x33;
}

inline uint64_t instructionPointer(const Registers &registers) {
    return registers.rip;
}
inline void setInstructionPointer(Registers &registers, uint64_t at) {
    registers.rip = at;
}

/// Registers for one system call by the instruction at `at`. orig_rax = -1 keeps the kernel from taking the
/// thread's interrupted system call for the one to restart.
inline Registers forSyscall(Registers registers, uint64_t at, long number, uint64_t first) {
    registers.rip = at;
    registers.rax = static_cast<unsigned long long>(number);
    registers.orig_rax = static_cast<unsigned long long>(-1);
    registers.rdi = first;
    registers.rsi = registers.rdx = registers.r10 = registers.r8 = registers.r9 = 0;
    return registers;
}

inline long syscallResult(const Registers &registers) {
    return static_cast<long>(registers.rax);
}

#else
#error "tracking from outside has not been written for this architecture: add its registers here"
#endif

inline bool getRegisters(pid_t tid, Registers &registers) {
    iovec part{&registers, sizeof registers};
    return ::ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &part) == 0 && part.iov_len == sizeof registers;
}

inline bool setRegisters(pid_t tid, const Registers &registers) {
    iovec part{const_cast<Registers *>(&registers), sizeof registers};
    return ::ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &part) == 0;
}

} // namespace pclive::arch
