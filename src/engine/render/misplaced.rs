//! Why an expression may not stand at its place in a Job.

use super::allow::Allow;
use super::params::ParamSchema;
use super::position::Position;
use super::text::Text;
use super::wrong::Beside;
use crate::engine::definitions::config::ParamType;
use crate::engine::definitions::problem::nearest;

/// So many wrong params are told of one text.
const MOST_WRONG: usize = 10;

/// Why an expression may not stand somewhere, with what this is about.
type Reason = (String, Option<Beside>);

/// Why an expression may not stand at a position: every reason.
pub(super) fn misplaced(
    text: &Text,
    position: Position,
    allow: &Allow,
    params: &[ParamSchema],
) -> Vec<Reason> {
    let find = |name: &str| params.iter().find(|param| param.name() == name);
    let type_of = |param: &ParamSchema| Some(Beside::TypeOf(param.name().to_owned()));
    let in_whole = position == Position::Env && text.whole_param().is_some();
    let misplaced =
        |name: &&str| find(name).is_none_or(|param| param.param_type() == ParamType::Secret && !in_whole);
    let reason = |name: &str| {
        if let Some(param) = find(name) {
            let message =
                format!("the secret {name} may stand only as a whole env value: {{{{ params.{name} }}}}");
            return (message, type_of(param));
        }
        let near = nearest(name, params.iter().map(ParamSchema::name));
        let meant = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
        (format!("there is no param {name}{meant}"), Some(Beside::ParamNames))
    };
    let named = text.params();
    let mut wrong = named.into_iter().filter(misplaced);
    let mut reasons: Vec<Reason> = wrong.by_ref().take(MOST_WRONG).map(reason).collect();
    let more = wrong.count();
    if more > 0 {
        let message = format!("{more} further params are not there, or may not stand here");
        reasons.push((message, Some(Beside::Params)));
    }
    let plain = |param: &ParamSchema| matches!(param.param_type(), ParamType::Integer | ParamType::Boolean);
    reasons.extend(match position {
        Position::Env | Position::Arg if text.names_a_variable() => {
            Some(("has {{ }} within $( ): a value may not choose a variable".to_owned(), None))
        }
        Position::Allowed(list) if allow.is_empty(list) => {
            let list = list.name();
            let message = format!("may not hold {{{{ }}}} unless allow.{list} says which values it may take");
            Some((message, Some(Beside::Allow(list))))
        }
        Position::Env | Position::Arg | Position::Label | Position::Annotation | Position::Allowed(_) => None,
        Position::Sealed => Some(("may not hold {{ }}: it decides what the pod can reach".to_owned(), None)),
        Position::Command | Position::Other => match text.whole_param().map(find) {
            // Of one that is not there nobody knows the type.
            Some(None) => None,
            None if text.is_unknown() => None,
            Some(Some(param)) if plain(param) => None,
            named => Some((
                "may not hold {{ }}: only env values, args, labels and annotations may, \
                 or a whole integer or boolean param"
                    .to_owned(),
                named.flatten().and_then(type_of),
            )),
        },
    });
    reasons
}

/// Params whose `KICKOFF_PARAM_*` would be the same.
pub(super) fn one_variable_each(params: &[ParamSchema]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for (index, param) in params.iter().enumerate() {
        let same = |other: &&ParamSchema| {
            other.name() != param.name() && other.name().eq_ignore_ascii_case(param.name())
        };
        if let Some(other) = params[..index].iter().find(same) {
            let (one, other, name) = (other.name(), param.name(), param.variable());
            problems.push((String::new(), format!("the params {one} and {other} both become {name}")));
        }
    }
    problems
}
