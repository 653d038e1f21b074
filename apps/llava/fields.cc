// SPDX-License-Identifier: Apache-2.0
#include "fields.h"

#include "llava/core/check.h"

namespace llava::app {

std::vector<std::string> changed_fields(const std::vector<Field>& fields,
                                        const std::vector<Field>& others) {
  LLAVA_CHECK(fields.size() == others.size());
  std::vector<std::string> names;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const bool is_same = std::visit(
        [&](const auto* value) {
          using Target = std::remove_cvref_t<decltype(*value)>;
          return *value == *std::get<Target*>(others[i].target);
        },
        fields[i].target);
    if (!is_same) names.push_back(fields[i].name);
  }
  return names;
}

std::string list_values(const std::vector<Field>& fields) {
  std::string list;
  const auto add = [&list](const std::string& name, const auto& value) {
    list += fmt::format("{} {}\n", name, value);
  };
  for (const Field& field : fields) {
    std::visit(
        [&](const auto* value) {
          using Target = std::remove_cvref_t<decltype(*value)>;
          if constexpr (requires { value->has_value(); }) {
            if (*value) add(field.name, **value);
          } else if constexpr (!std::is_same_v<Target, std::vector<std::string>>) {
            add(field.name, *value);
          }
        },
        field.target);
  }
  return list;
}

}  // namespace llava::app
