// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/predictions.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "llava/core/error.h"

namespace llava::train_report {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<std::vector<std::string>> images_of(const Json& line) {
  const Json image = line.value("image", Json());
  if (image.is_null()) return std::vector<std::string>();
  if (image.is_string()) return std::vector{image.get<std::string>()};
  if (!image.is_array()) return std::nullopt;
  std::vector<std::string> images;
  for (const Json& path : image) {
    if (!path.is_string()) return std::nullopt;
    images.push_back(path.get<std::string>());
  }
  return images;
}

}  // namespace

void Predictions::add(const Json& line) {
  const JsonObject object(line, "a prediction");
  const std::optional<int64_t> step = object.get_int("step");
  if (!step || *step < 0) object.wrong_type("step", "a whole number of at least 0");
  const Json sample = line.value("sample", Json());
  if (!sample.is_string() && !sample.is_number_integer()) {
    object.wrong_type("sample", "an id or a whole number");
  }
  std::optional<std::vector<std::string>> images = images_of(line);
  if (!images) object.wrong_type("image", "a path or a list of paths");
  const std::optional<std::string> prompt = object.get_string("prompt");
  if (!prompt) object.wrong_type("prompt", "a text");
  const std::optional<std::string> answer = object.get_string("answer");
  if (!answer) object.wrong_type("answer", "a text");

  Prediction question{.sample = sample.is_string() ? sample.get<std::string>() : sample.dump(),
                      .images = *std::move(images),
                      .prompt = *prompt,
                      .reference = object.get_string("reference").value_or("")};
  const auto is_same = [&](const Prediction& other) {
    return other.sample == question.sample && other.images == question.images &&
           other.prompt == question.prompt;
  };
  auto found = std::ranges::find_if(all_, is_same);
  if (found == all_.end()) found = all_.insert(all_.end(), std::move(question));
  PredictedAnswer predicted{.step = static_cast<uint64_t>(*step), .answer = *answer};
  predicted.equals_reference =
      !found->reference.empty() && trimmed(*answer) == trimmed(found->reference);
  auto& answers = found->answers;
  const auto place = std::ranges::lower_bound(answers, predicted.step, {}, &PredictedAnswer::step);
  if (place != answers.end() && place->step == predicted.step) {
    *place = std::move(predicted);
  } else {
    answers.insert(place, std::move(predicted));
  }
}

}  // namespace llava::train_report
