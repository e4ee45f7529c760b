package graphstore
import ("testing";"time";"fmt";"os")
func TestTmp(t *testing.T){
 f:=os.Getenv("TMPF"); if f==""{t.Skip()}
 if _,err:=os.Stat(f); err!=nil { writeRecords(f, millionFlows()); return }
 t0:=time.Now()
 n:=0
 for range records(t,f){n++}
 t1:=time.Now(); fmt.Println("read",t1.Sub(t0))
 s:=New();s.Grow(1000000)
 s.AddFlows(func(yield func(Pair, Flow) bool) { for r := range records(t, f) { if !yield(r.flow()) { return } } })
 t2:=time.Now(); fmt.Println("add+read",t2.Sub(t1))
 v:=s.Freeze()
 t3:=time.Now(); fmt.Println("freeze",t3.Sub(t2))
 v.Depths([]uint32{5},-1)
 t4:=time.Now(); fmt.Println("bfs",t4.Sub(t3))
 v.Components()
 fmt.Println("comp",time.Since(t4))
}
