// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/page.h"

#include <fmt/format.h>

#include <array>
#include <span>

#include "llava/core/base64.h"
#include "llava/core/hash.h"
#include "llava/core/version.h"
#include "llava/train_report/html_text.h"
#include "llava/train_report/page_sections.h"
#include "llava/train_report/page_style.h"

namespace llava::train_report {
namespace {

// The hash by which the content policy knows our own style sheet.
std::string style_hash() {
  const Sha256 digest = sha256(std::as_bytes(std::span(kPageStyle)));
  return encode_base64({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string head(const RunFolder& run) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n<title>{}: training report</title>\n"
      "<style>{}</style>\n</head>\n",
      style_hash(), escape_html(run.name), kPageStyle);
}

std::string problems(const RunFolder& run) {
  if (run.problems.empty()) return {};
  std::string out = "<ul class=\"problems\">\n";
  for (const std::string& problem : run.problems) {
    out += fmt::format("<li>{}</li>\n", escape_html(problem));
  }
  return out + "</ul>\n";
}

}  // namespace

std::string fact(const std::string& name, const std::string& value) {
  if (value.empty()) return {};
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escape_html(name), escape_html(value));
}

std::string value_text(const Json& value) {
  if (value.is_null()) return "not set";
  if (!value.is_string()) return to_text(value);
  const auto text = value.get<std::string>();
  return text.empty() ? "not set" : text;
}

std::string section(const std::string& id, const std::string& title, const std::string& body) {
  if (body.empty()) return {};
  return fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", id, title, body);
}

std::string make_page(const RunFolder& run, const PageOptions& options) {
  struct Part {
    const char* id;
    const char* title;
    std::string html;
  };
  const std::array parts{
      Part{"curves", "Curves", curves_section(run)},
      Part{"predictions", "Sample predictions", predictions_section(run, options)},
      Part{"data", "Data", data_section(run)},
      Part{"checkpoints", "Checkpoints", checkpoints_section(run)},
      Part{"configuration", "Configuration", configuration_section(run, options)},
  };
  std::string links;
  std::string body;
  for (const Part& part : parts) {
    if (part.html.empty()) continue;
    links += fmt::format("<a href=\"#{}\">{}</a> ", part.id, part.title);
    body += section(part.id, part.title, part.html);
  }
  return head(run) +
         fmt::format(
             "<body>\n<main>\n<header>\n<p class=\"quiet\">Training report</p>\n<h1>{}</h1>\n"
             "<nav aria-label=\"Parts\">{}</nav>\n</header>\n{}{}{}"
             "<footer><p class=\"quiet\">Made by llava {} train report.</p></footer>\n"
             "</main>\n</body>\n</html>\n",
             escape_html(run.name), links, problems(run), summary_section(run), body, kVersion);
}

}  // namespace llava::train_report
