// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/scopes.h"

#include <map>
#include <set>

#include "llava/core/error.h"

namespace llava::text::jinja {
namespace {

using NameSet = std::set<std::string>;

// Names copied from block to block; templates have a few dozen names and blocks.
class Work {
 public:
  void add(size_t count) {
    constexpr size_t kMaxWork = 2'000'000;
    done_ += count;
    if (done_ > kMaxWork) {
      fail(ErrorCode::kBadFormat, "it has too many names and blocks");
    }
  }

 private:
  size_t done_ = 0;
};

// What one block knows about the names at its own level, in the order it meets them.
class BlockNames {
 public:
  BlockNames(const NameSet& outer, const NameSet& parameters)
      : outer_(&outer), parameters_(&parameters) {}

  void visit(const Block& block) {
    for (const Statement& statement : block) visit(statement);
  }

  std::vector<std::string> hidden() const {
    std::vector<std::string> names;
    for (const auto& [name, is_hidden] : is_hidden_) {
      if (is_hidden && !outer_->contains(name)) names.push_back(name);
    }
    return names;
  }

  // The names that blocks inside find here or further out.
  NameSet known(Work& work) const {
    work.add(outer_->size() + parameters_->size() + is_hidden_.size());
    NameSet names = *outer_;
    names.insert(parameters_->begin(), parameters_->end());
    for (const auto& [name, is_hidden] : is_hidden_) names.insert(name);
    return names;
  }

 private:
  void load(const std::string& name) {
    if (!parameters_->contains(name)) is_hidden_.emplace(name, false);
  }

  // A name that only a branch sets is looked up outside.
  void store(const std::string& name) {
    if (!parameters_->contains(name)) is_hidden_.emplace(name, num_branches_ == 0);
  }

  void visit(const ExprPtr& expr) {
    if (expr == nullptr) return;
    if (expr->kind == ExprKind::kName) load(expr->name);
    for (const ExprPtr& child : expr->children) visit(child);
    for (const ExprPtr& argument : expr->arguments) visit(argument);
    for (const auto& [name, value] : expr->keywords) visit(value);
  }

  void visit_targets(const Statement& statement) {
    for (const Target& target : statement.targets) {
      target.attribute.empty() ? store(target.name) : load(target.name);
    }
  }

  void visit_if(const Statement& statement) {
    for (const Branch& branch : statement.branches) {
      visit(branch.condition);
      ++num_branches_;
      visit(branch.body);
      --num_branches_;
    }
  }

  void visit(const Statement& statement) {
    switch (statement.kind) {
      case StatementKind::kOutput:
      case StatementKind::kFor:
      case StatementKind::kFilter:
        visit(statement.value);
        break;
      case StatementKind::kIf:
        visit_if(statement);
        break;
      case StatementKind::kSet:
        visit(statement.value);
        visit_targets(statement);
        break;
      case StatementKind::kSetBlock:
        visit_targets(statement);
        break;
      case StatementKind::kMacro:
        store(statement.name);
        break;
      case StatementKind::kWith:
        for (const auto& [target, value] : statement.assignments) visit(value);
        break;
      case StatementKind::kText:
      case StatementKind::kGeneration:
      case StatementKind::kBreak:
      case StatementKind::kContinue:
        break;
    }
  }

  const NameSet* outer_;
  const NameSet* parameters_;
  std::map<std::string, bool> is_hidden_;
  int num_branches_ = 0;
};

void enter_block(Block& block, const NameSet& outer, const NameSet& parameters,
                 std::vector<std::string>& hidden, Work& work);

NameSet parameters_of(const Statement& statement) {
  NameSet names;
  for (const Target& target : statement.targets) names.insert(target.name);
  for (const auto& [target, value] : statement.assignments) names.insert(target.name);
  if (statement.kind == StatementKind::kFor) names.insert("loop");
  if (statement.kind == StatementKind::kSetBlock) names.clear();
  return names;
}

void enter_inner(Block& block, const NameSet& known, Work& work) {
  for (Statement& statement : block) {
    if (statement.kind == StatementKind::kIf) {
      for (Branch& branch : statement.branches) enter_inner(branch.body, known, work);
      continue;
    }
    enter_block(statement.body, known, parameters_of(statement), statement.hidden, work);
    enter_block(statement.otherwise, known, {}, statement.otherwise_hidden, work);
  }
}

void enter_block(Block& block, const NameSet& outer, const NameSet& parameters,
                 std::vector<std::string>& hidden, Work& work) {
  if (block.empty()) return;
  BlockNames names(outer, parameters);
  names.visit(block);
  hidden = names.hidden();
  enter_inner(block, names.known(work), work);
}

}  // namespace

void find_hidden_names(Program& program) {
  Work work;
  try {
    enter_block(program.body, {}, {}, program.hidden, work);
  } catch (const Error& error) {
    fail(error.code(), "chat template '{}': {}", program.label, error.what());
  }
}

}  // namespace llava::text::jinja
