// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "llava/core/error.h"
#include "llava/train_report/html_text.h"
#include "llava/train_report/json_lines.h"
#include "llava/train_report/number_text.h"
#include "llava/train_report/page_sections.h"
#include "llava/train_report/picture_uri.h"

namespace llava::train_report {
namespace {

namespace fs = std::filesystem;

// Relative paths begin in the run's folder or, as in the training data, in --image-folder.
fs::path place_of(const RunFolder& run, const std::string& path) {
  std::error_code error;
  if (fs::path(path).is_absolute() || fs::exists(run.path / path, error)) return run.path / path;
  if (!run.arguments.is_object()) return run.path / path;
  const fs::path below = fs::path(text_of(run.arguments, "image-folder")) / path;
  return fs::exists(below, error) ? below : run.path / path;
}

std::string picture(const RunFolder& run, const std::string& path) {
  try {
    const EmbeddedPicture embedded = embed_picture(place_of(run, path));
    return fmt::format("<img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{}\">\n", embedded.uri,
                       embedded.width, embedded.height,
                       escape_html("picture " + fs::path(path).filename().string()));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kResourceExhausted) throw;
    const std::string what = error.code() == ErrorCode::kNotFound
                                 ? "is gone"
                                 : std::string("cannot be shown: ") + error.what();
    return fmt::format("<p class=\"gone\">The picture {} {}</p>\n", escape_html(path),
                       escape_html(what));
  }
}

std::string answers(const Prediction& question) {
  std::string rows;
  for (const PredictedAnswer& answer : question.answers) {
    rows += fmt::format(
        "<tr><td class=\"number\">{}</td><td class=\"text\" dir=\"auto\">{}</td><td "
        "class=\"same\">{}</td></tr>\n",
        count_text(answer.step), escape_html(answer.answer),
        answer.equals_reference ? "as expected" : "");
  }
  return "<table>\n<thead><tr><th class=\"number\">step</th><th>answer</th><th></th></tr></thead>\n"
         "<tbody>\n" +
         rows + "</tbody></table>\n";
}

std::string question_html(const RunFolder& run, const Prediction& question) {
  std::string pictures;
  for (const std::string& path : question.images) pictures += picture(run, path);
  if (pictures.empty()) pictures = "<p class=\"gone\">no picture</p>\n";
  std::string out = fmt::format(
      "<article class=\"asked\">\n<div>{}</div>\n<div>\n<h3>sample {}</h3>\n"
      "<div class=\"text\" dir=\"auto\">{}</div>\n",
      pictures, escape_html(question.sample), escape_html(question.prompt));
  if (!question.reference.empty()) {
    out +=
        fmt::format("<p class=\"quiet\">expected</p>\n<div class=\"text\" dir=\"auto\">{}</div>\n",
                    escape_html(question.reference));
  }
  return out + answers(question) + "</div>\n</article>\n";
}

// How many of the newest answers are the expected ones, of questions that have one.
std::string score(const std::vector<Prediction>& all) {
  std::size_t num_known = 0;
  std::size_t num_equal = 0;
  for (const Prediction& question : all) {
    if (question.reference.empty()) continue;
    ++num_known;
    if (question.answers.back().equals_reference) ++num_equal;
  }
  if (num_known == 0) return {};
  return fmt::format(
      "<p>Of {} questions with an expected answer, the newest answer is exactly that for {}.</p>\n",
      count_text(num_known), count_text(num_equal));
}

}  // namespace

std::string predictions_section(const RunFolder& run, const PageOptions& options) {
  const std::vector<Prediction>& all = run.predictions.all();
  if (all.empty()) return {};
  std::string out = score(all);
  const std::size_t num_shown = std::min(all.size(), options.max_samples);
  for (std::size_t i = 0; i < num_shown; ++i) out += question_html(run, all[i]);
  if (num_shown < all.size()) {
    out += fmt::format("<p>{} more questions are not shown; --max-samples shows more.</p>\n",
                       count_text(all.size() - num_shown));
  }
  return out;
}

}  // namespace llava::train_report
