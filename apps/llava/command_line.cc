// SPDX-License-Identifier: Apache-2.0
#include "command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <optional>
#include <type_traits>

namespace llava::app {
namespace {

// "--max_new_tokens=5" -> "--max-new-tokens=5"; a unique prefix becomes the whole name.
std::string canonical_flag(const std::string& argument, const std::vector<Field>& fields) {
  if (argument.size() < 3 || !argument.starts_with("--")) return argument;
  const std::size_t equals = argument.find('=');
  std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
  std::replace(name.begin(), name.end(), '_', '-');
  const std::string value = equals == std::string::npos ? "" : argument.substr(equals);
  std::vector<std::string> known{"help"};
  for (const Field& field : fields) {
    if (!field.is_positional) known.push_back(field.name);
  }
  if (std::find(known.begin(), known.end(), name) != known.end()) return "--" + name + value;
  std::vector<std::string> matches;
  for (const std::string& candidate : known) {
    if (candidate.starts_with(name)) matches.push_back(candidate);
  }
  if (matches.size() == 1) return "--" + matches.front() + value;
  if (matches.size() > 1) {
    fail(ErrorCode::kInvalidArgument, "flag --{} is ambiguous: it could be --{} or --{}", name,
         matches[0], matches[1]);
  }
  const auto nearest = nearest_name(name, known);
  fail(ErrorCode::kInvalidArgument, "unknown flag --{}{}; --help lists the flags", name,
       nearest ? ", did you mean --" + *nearest + "?" : "");
}

// Whether a word is a value of a switch in the original's training scripts.
std::optional<bool> switch_value(std::string word) {
  std::ranges::transform(word, word.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* yes : {"true", "yes", "t", "y", "1"}) {
    if (word == yes) return true;
  }
  for (const char* no : {"false", "no", "f", "n", "0"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

bool is_switch(const Field& field) {
  return std::holds_alternative<bool*>(field.target) ||
         std::holds_alternative<std::optional<bool>*>(field.target);
}

// "--bf16 True" and "--bf16=yes" -> "--bf16=true"; "--no-double-quant" -> "--double-quant=false".
std::vector<std::string> with_switch_values(const std::vector<std::string>& arguments,
                                            const std::vector<Field>& fields) {
  const auto find_switch = [&](std::string_view name) {
    return std::ranges::any_of(
        fields, [&](const Field& field) { return field.name == name && is_switch(field); });
  };
  std::vector<std::string> result;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i].substr(0, arguments[i].find('='));
    std::ranges::replace(name, '_', '-');
    if (!name.starts_with("--")) {
      result.push_back(arguments[i]);
      continue;
    }
    name.erase(0, 2);
    if (name.starts_with("no-") && find_switch(name.substr(3))) {
      result.push_back("--" + name.substr(3) + "=false");
      continue;
    }
    if (!find_switch(name)) {
      result.push_back(arguments[i]);
      continue;
    }
    const std::size_t equals = arguments[i].find('=');
    std::optional<bool> value;
    if (equals != std::string::npos) {
      value = switch_value(arguments[i].substr(equals + 1));
    } else if (i + 1 < arguments.size()) {
      value = switch_value(arguments[i + 1]);
      if (value) ++i;
    }
    result.push_back("--" + name + (value == false ? "=false" : "=true"));
  }
  return result;
}

std::string help_with_default(const Field& field) {
  return std::visit(
      [&](auto* target) -> std::string {
        using T = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return target->empty() ? field.help : field.help + " [" + *target + "]";
        } else if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
          return fmt::format("{} [{}]", field.help, *target);
        } else {
          return field.help;
        }
      },
      field.target);
}

void bind(CLI::App& parser, const Field& field) {
  const std::string flag = field.is_positional ? field.name : "--" + field.name;
  const std::string help = help_with_default(field);
  CLI::Option* option = std::visit(
      [&](auto* target) -> CLI::Option* {
        using T = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::optional<bool>>) {
          return parser.add_flag(flag, *target, help);
        } else {
          return parser.add_option(flag, *target, help);
        }
      },
      field.target);
  option->type_name("");
  if (field.is_required) option->required();
  if (std::holds_alternative<std::vector<std::string>*>(field.target) && !field.is_positional) {
    option->take_all()->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  } else if (!field.is_positional) {
    // The last one counts, as in the original's programs, so that scripts can append flags.
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
}

}  // namespace

bool parse_arguments(const CommandHelp& help, const std::vector<Field>& fields,
                     const std::vector<std::string>& arguments) {
  CLI::App parser(help.summary + (help.details.empty() ? "" : "\n\n" + help.details),
                  "llava " + help.name);
  if (!help.examples.empty()) parser.footer("Examples:\n" + help.examples);
  parser.set_help_flag("--help", "print this help and exit");
  for (const Field& field : fields) bind(parser, field);
  std::vector<std::string> reversed;
  bool are_flags_over = false;
  for (const std::string& argument :
       help.switches_take_values ? with_switch_values(arguments, fields) : arguments) {
    are_flags_over = are_flags_over || argument == "--";
    reversed.push_back(argument == "-h" ? "--help"
                       : are_flags_over ? argument
                                        : canonical_flag(argument, fields));
  }
  std::reverse(reversed.begin(), reversed.end());
  try {
    parser.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    std::fputs(parser.help().c_str(), stdout);
    return false;
  } catch (const CLI::ParseError& e) {
    fail(ErrorCode::kInvalidArgument, "llava {}: {}; --help lists the flags", help.name, e.what());
  }
  for (const Field& field : fields) field.check();
  return true;
}

std::vector<std::string> whole_command(const CommandHelp& help,
                                       const std::vector<std::string>& arguments) {
  std::vector<std::string> command{help.name};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace llava::app
