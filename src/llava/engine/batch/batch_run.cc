// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/batch/batch_run.h"

#include <deque>
#include <future>
#include <new>
#include <utility>

#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/engine/batch/batch_output.h"

namespace llava::engine {
namespace {

struct Pending {
  BatchItem item;
  std::future<BatchAnswer> answer;  // invalid when the item has an error
};

// What names an item in its record; a resumed run compares it.
OrderedJson identity_of(const BatchItem& item, const std::string& model) {
  OrderedJson record;
  record["index"] = item.question.index;
  if (!item.id.empty()) record["id"] = OrderedJson::parse(item.id);
  if (item.pictures.size() == 1) record["image"] = item.pictures.front();
  if (item.pictures.size() > 1) record["image"] = item.pictures;
  if (!item.question.question.empty()) record["question"] = item.question.question;
  record["model"] = model;
  return record;
}

void check_same_item(const Json& record, const BatchItem& item, const BatchRunOptions& options) {
  const OrderedJson identity = identity_of(item, options.model);
  for (const char* key : {"id", "image", "question", "model"}) {
    const Json expected = identity.contains(key) ? Json::parse(to_text(identity.at(key))) : Json();
    const Json found = record.contains(key) ? record.at(key) : Json();
    if (found == expected) continue;
    fail(ErrorCode::kInvalidArgument,
         "'{}' holds answers of another batch: record {} has {} {}, expected {}; name another file "
         "with --output, or remove this one",
         options.output.string(), item.question.index, key, to_text(found), to_text(expected));
  }
}

void add_error(OrderedJson& record, const BatchError& error) {
  record["error"] = {{"code", error_code_name(error.code)}, {"message", error.message}};
}

void add_answer(OrderedJson& record, const BatchAnswer& answer) {
  record["answer"] = answer.text;
  record["finish_reason"] = finish_reason_name(answer.finish_reason);
  record["usage"] = {{"prompt_tokens", answer.prompt_tokens},
                     {"image_tokens", answer.image_tokens},
                     {"completion_tokens", answer.completion_tokens}};
}

// The answer, or the error of this item alone. A stop and our own faults are nobody's item.
std::optional<BatchAnswer> await(Pending& pending) {
  if (pending.item.error) return std::nullopt;
  try {
    return pending.answer.get();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal || error.code() == ErrorCode::kCancelled) throw;
    pending.item.error = {.code = error.code(), .message = error.what()};
  } catch (const std::bad_alloc&) {
    pending.item.error = {.code = ErrorCode::kResourceExhausted, .message = "out of memory"};
  }
  return std::nullopt;
}

}  // namespace

BatchReport run_batch(BatchInput& input, AnswerService& service, const BatchRunOptions& options,
                      std::stop_token stop) {
  BatchReport report{.num_items = input.num_items()};
  BatchOutput output(options.output, [&](const Json& record) {
    const auto item = input.next();
    if (!item) {
      fail(ErrorCode::kInvalidArgument, "'{}' holds more records than '{}' has items",
           options.output.string(), report.num_items);
    }
    check_same_item(record, *item, options);
  });
  report.num_resumed = output.num_records();
  const auto num_to_do = static_cast<uint64_t>(report.num_items - report.num_resumed);
  std::deque<Pending> window;
  const auto fill_window = [&] {
    while (window.size() < static_cast<std::size_t>(options.num_in_flight)) {
      auto item = input.next();
      if (!item) return;
      Pending pending{.item = std::move(*item), .answer = {}};
      if (!pending.item.error) pending.answer = service.submit(pending.item.question);
      window.push_back(std::move(pending));
    }
  };
  while (!stop.stop_requested()) {
    fill_window();
    if (window.empty()) break;
    Pending pending = std::move(window.front());
    window.pop_front();
    std::optional<BatchAnswer> answer;
    try {
      answer = await(pending);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCancelled) throw;
      break;
    }
    if (answer && answer->finish_reason == FinishReason::kCancelled) break;
    OrderedJson record = identity_of(pending.item, options.model);
    if (answer) {
      add_answer(record, *answer);
      ++report.num_answered;
      report.num_draft_tokens += answer->draft_tokens;
      report.num_accepted_tokens += answer->accepted_tokens;
    } else {
      add_error(record, *pending.item.error);
      ++report.num_failed;
    }
    output.append(to_text(record));
    if (options.on_progress) {
      options.on_progress(static_cast<uint64_t>(report.num_answered + report.num_failed),
                          num_to_do);
    }
  }
  output.flush();
  report.is_complete = output.num_records() == report.num_items;
  return report;
}

}  // namespace llava::engine
