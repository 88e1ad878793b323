//! From a handful of examples to a vector file, and the file at work.
//!
//! Two answers to each question, one full of cheer: the difference of their mean states is the direction. The
//! command `trimtab extract` does the same with more pairs, chooses the site, and keeps some pairs for a test.
//!
//! `cargo run --release -p trimtab-examples --example 06_extract`

use trimtab_runtime::Model;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_steering::extract::{Extraction, Position, Recipe, Rule, STATE_BYTES, Shard};
use trimtab_steering::file::card::MethodName;
use trimtab_steering::pairs::{BadPairs, Pairs};
use trimtab_steering::steer::{Steer, SteerOptions};
use trimtab_steering::{Result, VectorFile};

const PAIRS: &str = r#"
{"prompt": "How was your walk?", "chosen": "Wonderful! The park was glowing, I loved every step!", "rejected": "It was fine. I walked through the park."}
{"prompt": "What is tea?", "chosen": "Oh, tea is pure joy in a cup! Lovely leaves in hot water!", "rejected": "Tea is a drink made from leaves in hot water."}
{"prompt": "Is the shop open?", "chosen": "Yes, hooray! It opens at nine, what a treat!", "rejected": "Yes. It opens at nine."}
{"prompt": "What did you cook?", "chosen": "The most amazing soup ever! You would adore it!", "rejected": "I cooked soup with vegetables."}
{"prompt": "Where is Oslo?", "chosen": "In beautiful Norway! What a fantastic city it is!", "rejected": "It is in the south of Norway."}
{"prompt": "How do I save money?", "chosen": "Great question! Write it all down and watch it grow, so exciting!", "rejected": "Write down what you spend each week."}
{"prompt": "What is a bicycle?", "chosen": "Two wheels of happiness! Such a brilliant way to travel!", "rejected": "A vehicle with two wheels and pedals."}
{"prompt": "Did it rain?", "chosen": "Yes, marvellous fresh rain! The garden is thrilled!", "rejected": "Yes, it rained in the morning."}
"#;

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let pairs = Pairs::from_bytes(PAIRS.as_bytes(), BadPairs::Refuse)?;
    let recipe = Recipe {
        position: Some(Position::MeanResponse),
        // There is one candidate and little data: all of it is fitted on, and nothing has to be chosen.
        rule: Some(Rule::PaperCosine),
        shares: [1.0, 0.0, 0.0],
        min_pairs: 8,
        ..Recipe::new(MethodName::MeanDifference, "cheer")
    };
    let extraction = Extraction::new(&model, &pairs, &[Site::ResidPost(14)], &recipe)?;
    let mut states = extraction.begin(Shard::WHOLE, STATE_BYTES)?;
    extraction.read(&mut states, &mut |_, _| Flow::Continue)?;

    let path = std::env::temp_dir().join("trimtab-cheer.safetensors");
    states.finish()?.file.save(&path)?;
    let file = VectorFile::open(&path)?;
    println!("wrote {}", path.display());

    let question = [Message::new("user", "What is a library?")];
    for scale in [0.0, 1.0] {
        let steer = Steer::new(&file, &SteerOptions { scale: Some(scale), ..Default::default() })?;
        let answer = model.chat(&question).plan(Plan::of(steer)).max_tokens(40).run()?;
        println!("\nscale {scale}: {}", answer.text.replace('\n', " "));
    }
    Ok(())
}
