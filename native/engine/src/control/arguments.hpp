// SPDX-License-Identifier: Apache-2.0
// Reading the fields of a request: everything is checked, and what is wrong is named.
#pragma once

#include "control/error.hpp"
#include "control/session.hpp"
#include <cstdint>

namespace pclive {

/// Error "invalid" naming the field.
inline Error invalidField(const std::string &name, const std::string &wanted) {
    return Error("invalid", "field \"" + name + "\" must be " + wanted);
}

inline Error unknownCommand(const std::string &command) {
    return Error("unknown-command", "unknown command \"" + command + "\"");
}

inline std::string stringField(const Json &from, const std::string &name) {
    auto field = from.find(name);
    if (field == from.end() || !field->is_string())
        throw invalidField(name, "a string");
    return field->get<std::string>();
}

inline std::string stringField(const Json &from, const std::string &name, const std::string &otherwise) {
    return from.contains(name) && !from.at(name).is_null() ? stringField(from, name) : otherwise;
}

/// A whole number from `low` to `high`.
inline uint64_t numberField(const Json &from, const std::string &name, uint64_t low, uint64_t high) {
    auto field = from.find(name);
    if (field == from.end() || !field->is_number_unsigned() || field->get<uint64_t>() < low ||
        field->get<uint64_t>() > high)
        throw invalidField(name,
                           "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    return field->get<uint64_t>();
}

inline uint64_t numberField(const Json &from, const std::string &name, uint64_t low, uint64_t high,
                            uint64_t otherwise) {
    return from.contains(name) && !from.at(name).is_null() ? numberField(from, name, low, high) : otherwise;
}

/// The bound of the engine's processor time in rounds: percent of one processor, 0 for none.
inline unsigned cpuPercent(const Json &from) {
    return static_cast<unsigned>(numberField(from, "cpuPercent", 0, 100u * 1024, 0));
}

inline bool boolField(const Json &from, const std::string &name, bool otherwise) {
    auto field = from.find(name);
    if (field == from.end())
        return otherwise;
    if (!field->is_boolean())
        throw invalidField(name, "true or false");
    return field->get<bool>();
}

inline const Json &objectField(const Json &from, const std::string &name) {
    auto field = from.find(name);
    if (field == from.end() || !field->is_object())
        throw invalidField(name, "an object");
    return *field;
}

} // namespace pclive
