// SPDX-License-Identifier: Apache-2.0
//
// Parsing of one subcommand's arguments into its configuration struct.
#pragma once

#include <string>
#include <vector>

#include "fields.h"

namespace llava::app {

/// What `--help` says about a subcommand besides its flags.
struct CommandHelp {
  std::string name;      ///< "run"
  std::string summary;   ///< one line
  std::string details;   ///< paragraphs, may be empty
  std::string examples;  ///< shell lines, may be empty
  /// A switch may be followed by its value ("--bf16 True"), and one that is on by default has a
  /// "--no-" form, as in the original's training scripts.
  bool switches_take_values = false;
};

/// Parses `arguments` (those after the subcommand) into the fields' targets.
///
/// Flags may be written with hyphens or underscores and shortened to an unambiguous prefix, as the
/// original's argument parser allows. Prints the help and returns false for --help.
/// Throws: Error(kInvalidArgument) for unknown flags (with the nearest known name), missing or
/// malformed values, and values that a constraint refuses.
bool parse_arguments(const CommandHelp& help, const std::vector<Field>& fields,
                     const std::vector<std::string>& arguments);

/// The subcommand's name and its arguments, with which the program is started again.
std::vector<std::string> whole_command(const CommandHelp& help,
                                       const std::vector<std::string>& arguments);

/// Parses into a configuration struct with a `describe(visitor)` member.
template <class Config>
bool parse_into(const CommandHelp& help, Config& config,
                const std::vector<std::string>& arguments) {
  FieldList list;
  config.describe(list);
  return parse_arguments(help, list.fields(), arguments);
}

}  // namespace llava::app
