//! Flags of commands that render conversations.

use super::OnOff;
use clap::Args;

/// What the chat template is given.
#[derive(Debug, Args)]
pub struct TemplateArgs {
    /// Variables of the chat template, such as '{"enable_thinking": false}'.
    #[arg(long, value_name = "JSON", help_heading = "Model")]
    pub chat_template_kwargs: Option<String>,
    /// Whether the model is to think before it answers: the template's enable_thinking.
    #[arg(
        long,
        value_enum,
        value_name = "on|off",
        hide_possible_values = true,
        help_heading = "Model"
    )]
    pub thinking: Option<OnOff>,
}
