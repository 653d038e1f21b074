// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parallel/step_message.h"

#include <utility>
#include <vector>

#include "llava/core/check.h"

namespace llava::engine {

Json to_json(const StepPlan& plan) {
  Json copies = Json::array();
  for (const PageCopy& copy : plan.copies) copies.push_back({copy.from, copy.to, copy.num_tokens});
  Json items = Json::array();
  for (const StepItem& item : plan.items) {
    // Runs of symbols of one picture, or of text: a step has thousands of symbols, and few runs.
    Json images = Json::array();
    std::vector<int32_t> values;
    values.reserve(item.symbols.size());
    for (const Symbol& symbol : item.symbols) {
      if (images.empty() || images.back()[0] != symbol.image) images.push_back({symbol.image, 0});
      images.back()[1] = images.back()[1].get<int64_t>() + 1;
      values.push_back(symbol.value);
    }
    Json json{{"sequence", item.sequence},   {"num_past", item.num_past},
              {"images", std::move(images)}, {"values", std::move(values)},
              {"pages", item.pages},         {"first_logits", item.first_logits}};
    if (item.look) {
      Json ranges = Json::array();
      for (const model::PositionRange& range : item.look->ranges) {
        ranges.push_back({range.begin, range.end});
      }
      json["look"] = {{"layer", item.look->layer}, {"ranges", std::move(ranges)}};
    }
    items.push_back(std::move(json));
  }
  return {{"copies", std::move(copies)}, {"items", std::move(items)}};
}

StepPlan step_from_json(const Json& json) {
  StepPlan plan;
  for (const Json& copy : json.at("copies")) {
    plan.copies.push_back({copy.at(0), copy.at(1), copy.at(2)});
  }
  for (const Json& from : json.at("items")) {
    StepItem item;
    item.sequence = from.at("sequence");
    item.num_past = from.at("num_past");
    item.pages = from.at("pages").get<std::vector<int32_t>>();
    item.first_logits = from.at("first_logits");
    const auto values = from.at("values").get<std::vector<int32_t>>();
    for (const Json& run : from.at("images")) {
      const uint64_t image = run.at(0);
      for (int64_t i = run.at(1); i > 0; --i) {
        LLAVA_CHECK(item.symbols.size() < values.size());
        item.symbols.push_back({.image = image, .value = values[item.symbols.size()]});
      }
    }
    if (from.contains("look")) {
      LookQuery look{.layer = from["look"].at("layer"), .ranges = {}};
      for (const Json& range : from["look"].at("ranges")) {
        look.ranges.push_back({range.at(0), range.at(1)});
      }
      item.look = std::move(look);
    }
    plan.items.push_back(std::move(item));
  }
  return plan;
}

}  // namespace llava::engine
