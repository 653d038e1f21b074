// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <set>
#include <string>

#include "llava/train_report/html_text.h"
#include "llava/train_report/page_sections.h"

namespace llava::train_report {
namespace {

std::string changed_row(const std::string& name, const Json& value, const std::string& before) {
  return fmt::format("<tr><td><code>--{}</code></td><td><code>{}</code></td><td>{}</td></tr>\n",
                     escape_html(name), escape_html(value_text(value)), escape_html(before));
}

std::string plain_item(const std::string& name, const Json& value) {
  return fmt::format("<li><code>--{}</code> {}</li>\n", escape_html(name),
                     escape_html(value_text(value)));
}

}  // namespace

std::string configuration_section(const RunFolder& run, const PageOptions& options) {
  if (!run.arguments.is_object() || run.arguments.empty()) return {};
  std::string changed;
  std::string plain;
  std::set<std::string> shown;
  for (const KnownFlag& flag : options.flags) {
    const auto found = run.arguments.find(flag.name);
    if (found == run.arguments.end()) continue;
    shown.insert(flag.name);
    if (*found == flag.default_value) {
      plain += plain_item(flag.name, *found);
    } else {
      changed += changed_row(flag.name, *found, value_text(flag.default_value));
    }
  }
  for (const auto& [name, value] : run.arguments.items()) {
    if (!shown.contains(name)) changed += changed_row(name, value, "not a flag of this version");
  }
  std::string out;
  if (!changed.empty()) {
    out +=
        "<h3>Other than the defaults</h3>\n<div class=\"scroll\"><table>\n"
        "<thead><tr><th>flag</th><th>value</th><th>default</th></tr></thead>\n<tbody>\n" +
        changed + "</tbody></table></div>\n";
  }
  if (!plain.empty()) {
    out += "<h3>Defaults</h3>\n<ul class=\"flags\">\n" + plain + "</ul>\n";
  }
  return out;
}

}  // namespace llava::train_report
