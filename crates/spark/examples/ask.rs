use futures::StreamExt;
use millstream_spark::{
    cast::{ToStringStyle, display_strings},
    functions::EvalContext,
    session::{CommandOutput, Environment, Session},
    streaming::StreamingEnvironment,
};
use spark_connect_proto as p;
use std::{collections::BTreeMap, sync::Arc};
fn sql(q: &str) -> p::Relation {
    p::Relation {
        common: None,
        rel_type: Some(p::relation::RelType::Sql(p::Sql {
            query: q.into(),
            ..Default::default()
        })),
    }
}
fn main() {
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_stack_size(64 << 20)
        .build()
        .unwrap();
    rt.block_on(async {
        let conf: BTreeMap<String,String> = [("spark.sql.session.timeZone".to_string(),"UTC".to_string()),("spark.sql.warehouse.dir".to_string(),"/tmp/sp/wh".to_string())].into();
        let streaming = StreamingEnvironment{ parallelism:1, clock: Arc::new(millstream_engine::time::SystemClock), faults: Default::default(), console: millstream_connectors::console::ConsoleOutput::new(std::io::stdout()), temporary: "/tmp/sp".into() };
        let env = Arc::new(Environment::new(Arc::new(conf), tokio::runtime::Handle::current(), streaming));
        let s = Session::new(env, "s", "u");
        let view = p::Command{command_type:Some(p::command::CommandType::CreateDataframeView(p::CreateDataFrameViewCommand{input:Some(sql("select id, cast(id as string) s, cast(id as int) i, id*1.5 d, array(id,id+1) a, map('k',id) m, named_struct('x',id,'y','z') st, timestamp'2020-01-01 00:00:00'+make_interval(0,0,0,0,0,0,id) ts, date'2020-01-01' dt from range(3)")),name:"t".into(),is_global:false,replace:true}))};
        let view = match s.command(&view).await { Ok(_) => None, Err(e) => Some(e) };
        if view.is_some() {
            let view = p::Command{command_type:Some(p::command::CommandType::CreateDataframeView(p::CreateDataFrameViewCommand{input:Some(sql("select id, cast(id as string) s, cast(id as int) i, id*1.5 d, array(id,id+1) a, map('k',id) m, named_struct('x',id,'y','z') st, timestamp'2020-01-01 00:00:00' + interval 1 second * id ts, date'2020-01-01' dt from range(3)")),name:"t".into(),is_global:false,replace:true}))};
            if let Err(e) = s.command(&view).await { println!("VIEW {e}"); }
        }
        let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
        for q in text.lines() {
            if q.trim().is_empty() || q.starts_with("spark.") { continue }
            println!(">> {q}");
            if q.starts_with("set ") || q.starts_with("create ") || q.starts_with("insert ") || q.starts_with("drop ") {
                #[allow(deprecated)]
                let c = p::Command{command_type:Some(p::command::CommandType::SqlCommand(p::SqlCommand{input:Some(sql(q)),..Default::default()}))};
                match s.command(&c).await { Ok(CommandOutput::Done)=>println!("    done"), Ok(_)=>println!("    done"), Err(e)=>println!("   !! {} {}", e.class, first(&e.message)) }
                continue;
            }
            match s.resolve(&sql(q)).await {
                Err(e) => println!("   !! {} {}", e.class, first(&e.message)),
                Ok(r) => {
                    for f in r.fields().iter() { println!("    {} {} {}", f.name(), millstream_spark::types::field_simple_string(f), f.is_nullable()); }
                    match s.execute(&r).await {
                        Err(e) => println!("   !! {} {}", e.class, first(&e.message)),
                        Ok(mut st) => {
                            let mut rows = vec![]; let mut err=None;
                            while let Some(b) = st.next().await { match b { Err(e) => { err=Some(millstream_spark::error::SparkError::from(e)); break }, Ok(b) => {
                                let cols: Vec<_> = b.columns().iter().map(|c| display_strings(c, ToStringStyle::Cast, &EvalContext::default())).collect();
                                for r in 0..b.num_rows() { rows.push(cols.iter().map(|c| match c { Ok(c) => if arrow::array::Array::is_null(c,r) {"NULL".to_string()} else {c.value(r).to_string()}, Err(e)=>e.message.clone() }).collect::<Vec<_>>().join("|")); }
                            }}}
                            match err { Some(e)=>println!("   !! {} {}", e.class, first(&e.message)), None=>{ for r in rows.iter().take(8) { println!("    = {r}"); } } }
                        }
                    }
                }
            }
        }
    });
}
fn first(m: &str) -> String {
    m.lines().next().unwrap_or("").to_string()
}
