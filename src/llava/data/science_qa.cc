// SPDX-License-Identifier: Apache-2.0
#include "llava/data/science_qa.h"

#include <optional>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/text/python_text.h"

namespace llava::data {
namespace {

constexpr std::string_view kLetters = "ABCDE";
constexpr std::string_view kBecause = "BECAUSE:";

// The parts that formats are made of.
struct Problem {
  std::string question;
  std::string context;
  std::string options;
  std::string answer;
  std::string lecture;
  std::string solution;
};

std::string text_of(const JsonObject& object, std::string_view key) {
  const auto text = object.get_string(key);
  if (!text) object.wrong_type(key, "text");
  return *text;
}

Problem read_problem(const Json& value, std::string_view id) {
  const JsonObject object(value, fmt::format("problem '{}'", id));
  Problem problem;
  problem.question = text_of(object, "question");
  problem.context = std::string(text::strip_space(text_of(object, "hint")));
  if (problem.context.empty()) problem.context = "N/A";
  const auto choices = object.get_string_list("choices");
  const auto answer = object.get_int("answer");
  if (!choices || choices->size() > kLetters.size()) {
    object.wrong_type("choices", "a list of at most five texts");
  }
  if (!answer || *answer < 0 || *answer >= static_cast<int64_t>(choices->size())) {
    object.wrong_type("answer", "the number of a choice, from 0");
  }
  for (std::size_t i = 0; i < choices->size(); ++i) {
    problem.options += fmt::format("{}({}) {}", i == 0 ? "" : " ", kLetters[i], (*choices)[i]);
  }
  problem.answer = kLetters[static_cast<std::size_t>(*answer)];
  // Line ends are written as a backslash and an n in some of them.
  problem.lecture = text::replace_text(text_of(object, "lecture"), "\\n", "\n");
  problem.solution = text::replace_text(text_of(object, "solution"), "\\n", "\n");
  return problem;
}

// The reasons that a question or an answer is given, by the letters of the format.
std::string reasons(const Problem& p, std::string_view letters) {
  if (letters == "L") return p.lecture;
  if (letters == "E") return p.solution;
  return letters == "LE" ? p.lecture + " " + p.solution : p.solution + " " + p.lecture;
}

std::optional<std::string> write_input(const Problem& p, std::string_view format) {
  const std::string question = "Question: " + p.question + "\n";
  const std::string context = "Context: " + p.context + "\n";
  const std::string options = "Options: " + p.options + "\n";
  const auto because = [&](std::string_view letters) {
    return fmt::format("{} {}\n", kBecause, reasons(p, letters));
  };
  if (format == "CQM") return context + question + options;
  if (format == "QCM") return question + context + options;
  if (format == "QCML" || format == "QCME" || format == "QCMLE") {
    return question + context + options + because(format.substr(3));
  }
  if (format == "QCLM" || format == "QCEM" || format == "QCLEM") {
    return question + context + because(format.substr(2, format.size() - 3)) + options;
  }
  return std::nullopt;
}

std::string write_lines(const Problem& p) {
  std::string output;
  if (!text::strip_space(p.lecture).empty()) output += "LECTURE: " + p.lecture + "\n";
  if (!text::strip_space(p.solution).empty()) output += "SOLUTION: " + p.solution + "\n";
  return output + "###\nANSWER: " + p.answer + ".";
}

std::optional<std::string> write_output(const Problem& p, std::string_view format) {
  const std::string answer = "The answer is " + p.answer + ".";
  if (format == "A") return "Answer: " + answer;
  // Published: the names of these two are swapped.
  if (format == "AL") return fmt::format("Answer: {} {} {}", answer, kBecause, p.solution);
  if (format == "AE") return fmt::format("Answer: {} {} {}", answer, kBecause, p.lecture);
  if (format == "ALE" || format == "AEL") {
    return fmt::format("Answer: {} {} {}", answer, kBecause, reasons(p, format.substr(1)));
  }
  if (format == "LA" || format == "EA" || format == "LEA" || format == "ELA") {
    return fmt::format("Answer: {} {}", reasons(p, format.substr(0, format.size() - 1)), answer);
  }
  if (format == "LEPA") return write_lines(p);
  return std::nullopt;
}

std::string tidy(std::string_view raw, std::string_view label) {
  std::string text = text::replace_text(raw, "  ", " ");
  text = std::string(text::strip_space(text));
  if (text.ends_with(kBecause)) {
    text.resize(text.size() - kBecause.size());
    text = std::string(text::strip_space(text));
  }
  return text.starts_with(label) ? text::replace_text(text, label, "") : text;
}

// One problem of the split, ready to be written.
struct ScienceSample {
  std::string id;
  std::optional<std::string> image;
  SciencePrompt prompt;
};

std::string id_of(const Json& value, const std::filesystem::path& file) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return to_text(value);
  fail(ErrorCode::kBadFormat, "'{}': an id is {}, expected text", file.string(), value.type_name());
}

std::vector<ScienceSample> read_split(const ScienceQaRequest& request) {
  const std::filesystem::path splits_file = request.base_dir / "pid_splits.json";
  const std::filesystem::path problems_file = request.base_dir / "problems.json";
  const Json splits = read_json_file(splits_file);
  const Json problems = read_json_file(problems_file);
  if (!splits.is_object() || !splits.contains(request.split) ||
      !splits.at(request.split).is_array()) {
    std::string known;
    if (splits.is_object()) {
      for (const auto& [name, ids] : splits.items()) known += " " + name;
    }
    fail(ErrorCode::kInvalidArgument, "'{}' has no split '{}', expected one of:{}",
         splits_file.string(), request.split, known);
  }
  std::vector<ScienceSample> samples;
  for (const Json& value : splits.at(request.split)) {
    const std::string id = id_of(value, splits_file);
    if (!problems.is_object() || !problems.contains(id)) {
      fail(ErrorCode::kBadFormat, "'{}' has no problem '{}', which the split '{}' names",
           problems_file.string(), id, request.split);
    }
    const Json& problem = problems.at(id);
    const JsonObject object(problem, fmt::format("problem '{}'", id));
    const auto image = object.get_string("image");
    ScienceSample sample{.id = id,
                         .image = std::nullopt,
                         .prompt = science_prompt(problem, id, request.prompt_format)};
    if (image) {
      sample.image = id + "/" + *image;
      sample.prompt.input += "\n<image>";
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

// As Python's json.dump writes it.
std::string ascii_json(const OrderedJson& value, int indent = -1) {
  return value.dump(indent, ' ', /*ensure_ascii=*/true, OrderedJson::error_handler_t::replace);
}

}  // namespace

SciencePrompt science_prompt(const Json& problem, std::string_view id,
                             std::string_view prompt_format) {
  const Problem parts = read_problem(problem, id);
  const std::size_t dash = prompt_format.find('-');
  const bool has_dash = dash != std::string_view::npos;
  const auto input = write_input(parts, prompt_format.substr(0, dash));
  const auto output = has_dash ? write_output(parts, prompt_format.substr(dash + 1)) : std::nullopt;
  if (!input || !output) {
    fail(
        ErrorCode::kInvalidArgument,
        "prompt format '{}' is not known, expected one of CQM QCM QCML QCME QCMLE QCLM QCEM QCLEM, "
        "a dash and one of A AL AE ALE AEL LA EA LEA ELA LEPA",
        prompt_format);
  }
  return {.input = tidy(*input, "Question: "), .output = tidy(*output, "Answer: ")};
}

ConvertedFile science_qa_to_llava(const ScienceQaRequest& request) {
  OrderedJson records = OrderedJson::array();
  for (const ScienceSample& sample : read_split(request)) {
    OrderedJson record = {{"id", sample.id}};
    if (sample.image) record["image"] = *sample.image;
    record["conversations"] = {{{"from", "human"}, {"value", sample.prompt.input}},
                               {{"from", "gpt"}, {"value", sample.prompt.output}}};
    records.push_back(std::move(record));
  }
  const auto path =
      request.base_dir / fmt::format("llava_{}_{}.json", request.split, request.prompt_format);
  write_file_atomically(path, ascii_json(records, 2));
  return {.path = path, .num_samples = static_cast<int64_t>(records.size())};
}

ConvertedFile science_qa_to_jsonl(const ScienceQaRequest& request) {
  std::string lines;
  const std::vector<ScienceSample> samples = read_split(request);
  for (const ScienceSample& sample : samples) {
    lines += fmt::format("{{\"id\": {}, ", ascii_json(sample.id));
    if (sample.image) lines += fmt::format("\"image\": {}, ", ascii_json(*sample.image));
    lines += fmt::format("\"instruction\": {}, \"output\": {}}}\n", ascii_json(sample.prompt.input),
                         ascii_json(sample.prompt.output));
  }
  const auto path =
      request.base_dir / fmt::format("scienceqa_{}_{}.jsonl", request.split, request.prompt_format);
  write_file_atomically(path, lines);
  return {.path = path, .num_samples = static_cast<int64_t>(samples.size())};
}

}  // namespace llava::data
