// SPDX-License-Identifier: Apache-2.0
//
// `llava list`: the hub's models on this machine.
#include <ctime>

#include "command.h"
#include "command_line.h"
#include "llava/core/json.h"
#include "llava/hub/cached_models.h"
#include "llava/hub/hub_settings.h"
#include "transfer_progress.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "list",
    .summary = "Lists the hub's models on this machine: revision, size, when they were used last.",
    .details =
        "Other programs' models are listed as well: the cache is shared with huggingface_hub.",
    .examples = "  llava list\n  llava list --json"};

struct ListOptions {
  bool json = false;

  template <class V>
  void describe(V& v) {
    v.field("json", json, "print one JSON object");
  }
};

std::string time_text(int64_t seconds) {
  if (seconds == 0) return "-";
  const auto time = static_cast<std::time_t>(seconds);
  std::tm utc{};
  if (::gmtime_r(&time, &utc) == nullptr) return "-";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

OrderedJson to_json(const hub::CachedModel& model) {
  OrderedJson json;
  json["name"] = model.repo;
  json["bytes"] = model.bytes;
  json["incomplete_bytes"] = model.partial_bytes;
  json["snapshots"] = OrderedJson::array();
  for (const hub::CachedSnapshot& snapshot : model.snapshots) {
    json["snapshots"].push_back({{"revision", snapshot.commit},
                                 {"refs", snapshot.refs},
                                 {"bytes", snapshot.bytes},
                                 {"last_used", time_text(snapshot.last_used)},
                                 {"path", snapshot.path.string()}});
  }
  return json;
}

void print_row(const std::string& name, const std::string& revision, uint64_t bytes,
               const std::string& last_used) {
  fmt::print("{:<48} {:<20} {:>10}  {}\n", name, revision, size_text(bytes), last_used);
}

void print_table(const std::vector<hub::CachedModel>& models) {
  constexpr std::size_t kShownDigits = 12;
  fmt::print("{:<48} {:<20} {:>10}  {}\n", "name", "revision", "size", "last used");
  for (const hub::CachedModel& model : models) {
    for (const hub::CachedSnapshot& snapshot : model.snapshots) {
      std::string revision = snapshot.commit.substr(0, kShownDigits);
      for (const std::string& ref : snapshot.refs) revision += " " + ref;
      print_row(model.repo, revision, snapshot.bytes, time_text(snapshot.last_used));
    }
    if (model.partial_bytes > 0) print_row(model.repo, "(incomplete)", model.partial_bytes, "-");
  }
}

}  // namespace

int list_command(const Arguments& arguments) {
  ListOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  const auto cache = hub::settings_of_environment().cache;
  const auto models = hub::list_cached_models(cache);
  if (!options.json) {
    print_table(models);
    return 0;
  }
  OrderedJson json;
  json["cache"] = cache.string();
  json["models"] = OrderedJson::array();
  for (const hub::CachedModel& model : models) json["models"].push_back(to_json(model));
  fmt::print("{}\n", to_text(json));
  return 0;
}

}  // namespace llava::app
