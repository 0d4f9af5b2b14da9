// SPDX-License-Identifier: Apache-2.0
// From a command's name to the method of the role that carries it out.
#pragma once

#include "control/arguments.hpp"
#include <unordered_map>

namespace pclive {

template <class Role> using Commands = std::unordered_map<std::string, Json (Role::*)(const Json &)>;

/// `checkNotAborted` throws the error "aborted" once the role was aborted: whatever the abort broke first, it
/// was the abort.
template <class Role, class Check>
Json carryOut(Role &role, const Commands<Role> &commands, const std::string &command, const Json &arguments,
              Check checkNotAborted) {
    auto found = commands.find(command);
    if (found == commands.end())
        throw unknownCommand(command);
    checkNotAborted();
    try {
        return (role.*found->second)(arguments);
    } catch (const Error &) {
        checkNotAborted();
        throw;
    }
}

} // namespace pclive
